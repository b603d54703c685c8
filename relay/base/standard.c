/* Standard descriptors; see standard.h. */
#include "relay/base/standard.h"

#include <fcntl.h>
#include <unistd.h>

#include "relay/base/err.h"

int standard_open(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_WRONLY) != fd)
            return RELAY_EIO;
    return RELAY_OK;
}
