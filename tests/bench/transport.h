/* The bytes of one subscriber's connection: a socket, or TLS on it. A client that believes every
 * certificate, since the server was started a moment ago on this machine. */
#ifndef BENCH_TRANSPORT_H
#define BENCH_TRANSPORT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/net.h"

/* What the connections of one thread share. */
struct tls_client {
    SSL_CTX *ctx;
    SSL_SESSION *session; /* the latest that a server gave; NULL: none, or none is wanted */
    uint64_t resumed;     /* handshakes that took a session up again */
    char agreed[96];      /* the latest handshake's version, cipher and protocol */
};

struct transport {
    int fd;
    SSL *ssl; /* NULL: the socket alone */
    struct tls_client *client;
    bool established; /* the handshake is through */
};

/* Offer @protocol by ALPN. With @resume every handshake but the first tries to go on with the
 * session before it; without, each of them is a full one. */
void tls_client_init(struct tls_client *c, const char *protocol, bool resume);
void tls_client_fini(struct tls_client *c);

/* Connect and wait for the socket, but for no handshake; @client is NULL for a socket alone.
 * False with errno. */
bool transport_open(struct transport *t, const struct address *to, struct source *from,
                    struct tls_client *client);
void transport_close(struct transport *t);

/* As read(2) and write(2) on a socket that does not block; either carries on with the handshake. An
 * error of TLS is EPROTO. */
ssize_t transport_read(struct transport *t, char *bytes, size_t length);
ssize_t transport_write(struct transport *t, const char *bytes, size_t length);

#endif
