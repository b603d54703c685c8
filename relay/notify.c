/* See notify.h. */
#include "relay/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/base/clock.h"

static struct sockaddr_un manager;
static socklen_t manager_len; /* 0: there is none */

void notify_init(void) {
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path != NULL ? strlen(path) : 0;
    manager_len = 0;
    if (len > 1 && (path[0] == '/' || path[0] == '@') && len < sizeof(manager.sun_path)) {
        manager = (struct sockaddr_un){.sun_family = AF_UNIX};
        memcpy(manager.sun_path, path, len);
        if (path[0] ==
            '@') /* a name in no file system begins with a NUL, and ends with the address */
            manager.sun_path[0] = '\0';
        manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    unsetenv("NOTIFY_SOCKET");
}

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...) {
    char text[128];
    va_list args;
    if (manager_len == 0)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_DONTWAIT, (const struct sockaddr *)&manager,
                 manager_len);
    close(fd);
}

void notify_ready(void) {
    tell("READY=1");
}

void notify_reloading(void) {
    tell("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_mono_us());
}

void notify_stopping(uint64_t ms) {
    tell("STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", (unsigned long long)ms * 1000);
}
