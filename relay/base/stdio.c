/* Standard descriptors that are missing; see stdio.h. */
#include "relay/base/stdio.h"

#include <fcntl.h>
#include <unistd.h>

void stdio_fill(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) /* the lowest that is free, so it becomes this one */
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
