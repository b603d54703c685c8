/* Tells the service manager how the relay is: the protocol of sd_notify(3), which is one datagram
 * to the socket that $NOTIFY_SOCKET names. systemd speaks it, and so do podman and others.
 *
 * Without that variable all of it does nothing. What cannot be sent is left: a manager that does
 * not listen must not hold up the relay. One per process, main thread. */
#ifndef RELAY_NOTIFY_H
#define RELAY_NOTIFY_H

#include <stdint.h>

/* Read the variable and take it out of the environment, so that no child speaks for the relay.
 * Before other threads start. */
void notify_init(void);

/* It serves; after a reload too. */
void notify_ready(void);

/* It reads its configuration again; notify_ready() says when that is done. */
void notify_reloading(void);

/* It ends, which may take @ms: a manager with a shorter patience waits that long. */
void notify_stopping(uint64_t ms);

#endif
