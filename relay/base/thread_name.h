/* What a thread is called in top -H, ps -L, gdb and /proc, so that one sees which of them works. */
#ifndef RELAY_BASE_THREAD_NAME_H
#define RELAY_BASE_THREAD_NAME_H

/* Call the calling thread @name, of which the first 15 bytes count; where the system has no such
 * thing, nothing happens. */
void thread_name(const char *name);

#endif
