/* A socket, or TLS on it; see transport.h. */
#include "tests/bench/transport.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int on_session(SSL *ssl, SSL_SESSION *session) {
    struct tls_client *c = SSL_get_app_data(ssl);
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1; /* it is ours now */
}

void tls_client_init(struct tls_client *c, const char *protocol, bool resume) {
    *c = (struct tls_client){.ctx = SSL_CTX_new(TLS_client_method())};
    unsigned char offer[16];
    size_t length = strlen(protocol);
    if (c->ctx == NULL || length >= sizeof(offer))
        abort();
    offer[0] = (unsigned char)length;
    memcpy(offer + 1, protocol, length);
    SSL_CTX_set_alpn_protos(c->ctx, offer, (unsigned)length + 1);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(c->ctx, 1); /* one system call for many records */
    SSL_CTX_set_session_cache_mode(
        c->ctx, resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
    if (resume)
        SSL_CTX_sess_set_new_cb(c->ctx, on_session);
}

void tls_client_fini(struct tls_client *c) {
    SSL_SESSION_free(c->session);
    SSL_CTX_free(c->ctx);
}

bool transport_open(struct transport *t, const struct address *to, struct source *from,
                    struct tls_client *client) {
    *t = (struct transport){.fd = net_connect(to, from), .client = client};
    if (t->fd < 0)
        return false;
    net_nonblocking(t->fd);
    if (client == NULL)
        return true;
    t->ssl = SSL_new(client->ctx);
    if (t->ssl == NULL || SSL_set_fd(t->ssl, t->fd) != 1)
        abort();
    SSL_set_app_data(t->ssl, client);
    if (client->session != NULL)
        SSL_set_session(t->ssl, client->session);
    SSL_set_connect_state(t->ssl);
    return true;
}

void transport_close(struct transport *t) {
    if (t->ssl != NULL) {
        /* Or its session would count as one that must not be taken up again. */
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(t->ssl);
    }
    close(t->fd);
    *t = (struct transport){.fd = -1};
}

static void note_handshake(struct transport *t) {
    const unsigned char *protocol;
    unsigned length;
    t->established = true;
    t->client->resumed += SSL_session_reused(t->ssl) != 0;
    SSL_get0_alpn_selected(t->ssl, &protocol, &length);
    snprintf(t->client->agreed, sizeof(t->client->agreed), "%s %s %.*s", SSL_get_version(t->ssl),
             SSL_get_cipher_name(t->ssl), (int)length, (const char *)protocol);
}

/* What OpenSSL returned, as a system call would have. */
static ssize_t result_of(struct transport *t, int n) {
    if (!t->established && SSL_is_init_finished(t->ssl))
        note_handshake(t);
    if (n > 0)
        return n;
    int error = SSL_get_error(t->ssl, n);
    ERR_clear_error(); /* the next connection is asked after the same */
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = EPROTO;
        return -1;
    }
}

static int size_of(size_t length) {
    return length < INT_MAX ? (int)length : INT_MAX;
}

ssize_t transport_read(struct transport *t, char *bytes, size_t length) {
    if (t->ssl == NULL)
        return read(t->fd, bytes, length);
    return result_of(t, SSL_read(t->ssl, bytes, size_of(length)));
}

ssize_t transport_write(struct transport *t, const char *bytes, size_t length) {
    if (t->ssl == NULL)
        return write(t->fd, bytes, length);
    return result_of(t, SSL_write(t->ssl, bytes, size_of(length)));
}
