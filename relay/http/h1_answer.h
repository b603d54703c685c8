/* The head of an answer as HTTP/1 writes it: status line, Date, fields, and what tells where the
 * body ends and whether the connection goes on (RFC 9112). Pure; any thread. */
#ifndef RELAY_HTTP_H1_ANSWER_H
#define RELAY_HTTP_H1_ANSWER_H

#include <stdbool.h>

#include "relay/base/buf.h"
#include "relay/http/exchange.h"

/* How the answer's end is told. */
enum h1_framing {
    H1_FRAMING_LENGTH,  /* by a Content-Length (none with 204) */
    H1_FRAMING_CHUNKED, /* by the last chunk */
    H1_FRAMING_CLOSE    /* by the end of the connection */
};

struct h1_answer {
    const struct answer *answer;
    enum h1_framing framing;
    const char *date;       /* the value of Date */
    const char *connection; /* of Connection; NULL: the field is left out */
};

extern const char H1_LAST_CHUNK[5]; /* not NUL-terminated */

void h1_put_head(struct buf *out, const struct h1_answer *a);

/* The answer's body, behind its head; a chunked one is ended. */
void h1_put_body(struct buf *out, const struct h1_answer *a);

#endif
