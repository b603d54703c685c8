/* Standard input, output and error that are missing. */
#ifndef RELAY_BASE_STDIO_H
#define RELAY_BASE_STDIO_H

/* Fill those of the descriptors 0, 1 and 2 that are closed, so that nothing else we open gets one
 * of them: what is meant for standard output would go to Redis, and libuv aborts when it closes
 * one. Reading and writing them fails as it did before. To be called before anything is opened. */
void stdio_fill(void);

#endif
