/* Keys of session tickets: by them a client that comes back, to whichever node has the same keys,
 * spares itself and us a whole handshake. For tls.c alone. */
#ifndef RELAY_HTTP_TLS_TICKETS_H
#define RELAY_HTTP_TLS_TICKETS_H

#include <openssl/ssl.h>
#include <stddef.h>

#include "relay/base/buf.h"

/* As it stands in a file, which is nginx's form too. */
struct tls_ticket_key {
    unsigned char name[16], hmac[32], aes[32];
};

struct tls_tickets {
    struct tls_ticket_key *keys; /* the first one encrypts */
    size_t len;
};

/* A random one. Aborts where the system has no random numbers. */
void tls_ticket_key_make_up(struct tls_ticket_key *key);

/* Read @files into @t. Returns RELAY_OK, or RELAY_EINVAL and appends to @why a sentence. In any
 * case end with tls_tickets_fini(). */
int tls_tickets_read(struct tls_tickets *t, char *const *files, size_t len, struct buf *why);

void tls_tickets_add(struct tls_tickets *t, const struct tls_ticket_key *key);

/* Have @ctx use @t, which outlives all that is made of it. */
void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx);

/* The keys are wiped. */
void tls_tickets_fini(struct tls_tickets *t);

#endif
