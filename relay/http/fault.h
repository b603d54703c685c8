/* Why a request cannot be read: what the readers of its parts report. */
#ifndef RELAY_HTTP_FAULT_H
#define RELAY_HTTP_FAULT_H

/* Static storage; two are the same when their addresses are. */
struct fault {
    int status;      /* of the answer */
    const char *why; /* a sentence */
};

#endif
