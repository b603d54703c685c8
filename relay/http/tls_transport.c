/* TLS on a socket; see tls_transport.h.
 *
 * OpenSSL reads and writes the socket itself. A read of ours may need to write (the handshake, an
 * answer to a change of keys) and the other way round: `read_for` and `write_for` keep what the
 * last one waited for, and that is what is polled for. */
#include "relay/http/tls_transport.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/log.h"
#include "relay/base/mem.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; SIGPIPE is ignored by the process anyway */
#endif

enum { PLAIN_MAX_BYTES = 64 * 1024 }; /* read over behind our refusal of plain HTTP */

enum phase {
    BEGINNING, /* nothing has come */
    SHAKING,   /* the handshake is under way */
    OPEN,
    FAILED,
    PLAIN /* told that this is no plain HTTP: the rest is read over */
};

struct tls_conn {
    SSL *ssl;
    struct tls_set *set; /* what the SSL was made of */
    struct tls_server *server;
    uint32_t plain_bytes;
    uint8_t phase; /* enum phase */
    uint8_t read_for, write_for;
};

static const char plain_answer[] =
    "HTTP/1.1 400 Bad Request\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: 82\r\n"
    "Cache-Control: no-store\r\n"
    "Connection: close\r\n"
    "\r\n"
    "This port speaks HTTPS, and plain HTTP came. Begin the URL with https:// instead.\n";

static struct tls_conn *conn_of(const struct transport *t) {
    return t->own;
}

/* ---- outcomes ---- */

static void count_failure(const struct tls_conn *c, enum http_tls_failure why) {
    metric_add(&c->server->metrics->tls_failures[why], 1);
    log_debug("TLS handshake failed", "reason=%s why=%s", http_tls_failure_name(why),
              ERR_reason_error_string(ERR_peek_error()));
}

/* Which kind of failure the handshake's error is. */
static enum http_tls_failure failure_of(unsigned long error) {
    int reason = ERR_GET_REASON(error);
    if (error == 0) /* the socket's, and no error of OpenSSL's */
        return HTTP_TLS_UNFINISHED;
    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return HTTP_TLS_MALFORMED;
    if (reason >= SSL_AD_REASON_OFFSET) /* an alert that came */
        return HTTP_TLS_REFUSED;
    switch (reason) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return HTTP_TLS_UNFINISHED;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return HTTP_TLS_CLIENT_CERTIFICATE;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_INAPPROPRIATE_FALLBACK:
        return HTTP_TLS_NOTHING_COMMON;
    default:
        return HTTP_TLS_MALFORMED;
    }
}

static void look_at_handshake(struct tls_conn *c) {
    if (c->phase != SHAKING || !SSL_is_init_finished(c->ssl))
        return;
    c->phase = OPEN;
    metric_add(&c->server->metrics->tls_handshakes[SSL_session_reused(c->ssl) ? 1 : 0], 1);
}

/* What an operation that gave @n <= 0 means. */
static int outcome(struct tls_conn *c, int n, uint8_t *waits_for) {
    int error = SSL_get_error(c->ssl, n);
    look_at_handshake(c);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        *waits_for = error == SSL_ERROR_WANT_READ ? TRANSPORT_READ : TRANSPORT_WRITE;
        return TRANSPORT_AGAIN;
    }
    if (error == SSL_ERROR_ZERO_RETURN && c->phase == OPEN)
        return 0;
    if (c->phase == SHAKING)
        count_failure(c, failure_of(ERR_peek_error()));
    c->phase = FAILED;
    ERR_clear_error();
    return TRANSPORT_FAILED;
}

/* What somebody else on this thread has left behind would be taken for ours. */
static void forget_errors(void) {
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* ---- reading ---- */

/* A handshake begins with the byte 22, a request with a letter. */
static bool look_at_first(struct transport *t, struct tls_conn *c, ssize_t *result) {
    unsigned char first;
    ssize_t n;
    do
        n = recv(t->fd, &first, 1, MSG_PEEK);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        bool again = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        *result = n == 0 ? 0 : again ? TRANSPORT_AGAIN : TRANSPORT_FAILED;
        return false;
    }
    c->phase = SHAKING;
    if (!isalpha(first))
        return true;
    count_failure(c, HTTP_TLS_PLAIN);
    c->phase = PLAIN;
    if (send(t->fd, plain_answer, sizeof(plain_answer) - 1, MSG_NOSIGNAL) > 0)
        shutdown(t->fd, SHUT_WR);
    *result = TRANSPORT_AGAIN;
    return false;
}

/* Closing with bytes unread would reset our answer away. */
static ssize_t read_over(struct transport *t, struct tls_conn *c, void *bytes, size_t len) {
    ssize_t n = read(t->fd, bytes, len);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? TRANSPORT_AGAIN
                                                                         : TRANSPORT_FAILED;
    if (n == 0)
        return 0;
    c->plain_bytes += (uint32_t)n;
    return c->plain_bytes > PLAIN_MAX_BYTES ? TRANSPORT_FAILED : TRANSPORT_AGAIN;
}

static ssize_t tls_read(struct transport *t, void *bytes, size_t len) {
    struct tls_conn *c = conn_of(t);
    ssize_t result;
    if (c->phase == FAILED)
        return TRANSPORT_FAILED;
    if (c->phase == PLAIN)
        return read_over(t, c, bytes, len);
    if (c->phase == BEGINNING && !look_at_first(t, c, &result))
        return result;
    forget_errors();
    int n = SSL_read(c->ssl, bytes, len < INT_MAX ? (int)len : INT_MAX);
    if (n <= 0)
        return outcome(c, n, &c->read_for);
    look_at_handshake(c);
    c->read_for = TRANSPORT_READ;
    return n;
}

/* ---- writing ---- */

/* What is left of the pieces that were offered. */
struct pieces {
    const struct iovec *iov;
    int count;
    size_t skip; /* of the first: taken already */
};

static void advance(struct pieces *p, size_t n) {
    while (p->count > 0 && n >= p->iov->iov_len - p->skip) {
        n -= p->iov->iov_len - p->skip;
        p->skip = 0;
        p->iov++;
        p->count--;
    }
    p->skip += n;
}

/* As much as one record holds. A piece that fills it, or that is the last one, is not copied. */
static const char *next_record(const struct pieces *p, char *record, size_t *len) {
    size_t first = p->iov->iov_len - p->skip;
    const char *from = (const char *)p->iov->iov_base + p->skip;
    *len = first < TLS_RECORD_BYTES ? first : TLS_RECORD_BYTES;
    if (p->count == 1 || *len == TLS_RECORD_BYTES)
        return from;
    memcpy(record, from, *len);
    for (int i = 1; i < p->count && *len < TLS_RECORD_BYTES; i++) {
        size_t room = TLS_RECORD_BYTES - *len;
        size_t n = p->iov[i].iov_len < room ? p->iov[i].iov_len : room;
        memcpy(record + *len, p->iov[i].iov_base, n);
        *len += n;
    }
    return record;
}

/* A record that the socket did not take is kept by OpenSSL, and sent when the same bytes are
 * offered again; how long they are then, and where they lie, may have changed. */
static ssize_t tls_writev(struct transport *t, const struct iovec *iov, int count) {
    struct tls_conn *c = conn_of(t);
    struct pieces left = {iov, count, 0};
    size_t taken = 0;
    if (c->phase == FAILED || c->phase == PLAIN)
        return TRANSPORT_FAILED;
    advance(&left, 0); /* over empty ones */
    forget_errors();
    while (left.count > 0) {
        size_t len;
        const char *bytes = next_record(&left, c->server->record, &len);
        int n = SSL_write(c->ssl, bytes, (int)len);
        if (n <= 0) {
            int result = outcome(c, n, &c->write_for);
            return result == TRANSPORT_AGAIN && taken > 0 ? (ssize_t)taken
                   : result == 0                          ? TRANSPORT_FAILED
                                                          : result;
        }
        c->write_for = TRANSPORT_WRITE;
        taken += (size_t)n;
        advance(&left, (size_t)n);
    }
    return (ssize_t)taken;
}

/* ---- polling ---- */

/* Bytes that were decrypted already and not asked for yet: the socket says nothing of them. */
static bool holds_bytes(const struct tls_conn *c) {
    return c->phase == OPEN && SSL_pending(c->ssl) > 0;
}

static unsigned tls_poll_for(const struct transport *t, unsigned wanted) {
    const struct tls_conn *c = conn_of(t);
    unsigned events = 0;
    if (wanted & TRANSPORT_READ)
        events |= c->read_for | (holds_bytes(c) ? TRANSPORT_WRITE : 0u);
    if (wanted & TRANSPORT_WRITE)
        events |= c->write_for;
    return events;
}

static unsigned tls_ready(const struct transport *t, unsigned polled) {
    const struct tls_conn *c = conn_of(t);
    unsigned can = 0;
    if ((polled & c->read_for) || holds_bytes(c))
        can |= TRANSPORT_READ;
    if (polled & c->write_for)
        can |= TRANSPORT_WRITE;
    return can;
}

/* ---- the end ---- */

static int tls_shut_down(struct transport *t) {
    struct tls_conn *c = conn_of(t);
    if (c->phase == OPEN) {
        forget_errors();
        int n = SSL_shutdown(c->ssl);
        if (n < 0 && outcome(c, n, &c->write_for) == TRANSPORT_AGAIN)
            return TRANSPORT_AGAIN;
    }
    shutdown(t->fd, SHUT_WR);
    return 0;
}

static void tls_close(struct transport *t) {
    struct tls_conn *c = conn_of(t);
    if (c->phase == SHAKING) /* who has said nothing is a check of the port, most often */
        count_failure(c, HTTP_TLS_UNFINISHED);
    metric_sub(&c->server->metrics->tls_connections, 1);
    SSL_free(c->ssl);
    tls_set_unref(c->set);
    close(t->fd);
    free(c);
    t->own = NULL;
}

static const struct transport_ops tls_ops = {.read = tls_read,
                                             .writev = tls_writev,
                                             .poll_for = tls_poll_for,
                                             .ready = tls_ready,
                                             .shut_down = tls_shut_down,
                                             .close = tls_close};

bool transport_init_tls(struct transport *t, int fd, struct tls *tls, struct tls_server *server) {
    struct tls_set *set = tls_set_ref(tls);
    SSL *ssl = tls_set_session(set);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        tls_set_unref(set);
        ERR_clear_error();
        return false;
    }
    struct tls_conn *c = mem_zalloc(sizeof(*c));
    *c = (struct tls_conn){.ssl = ssl,
                           .set = set,
                           .server = server,
                           .read_for = TRANSPORT_READ,
                           .write_for = TRANSPORT_WRITE};
    metric_add(&server->metrics->tls_connections, 1);
    *t = (struct transport){&tls_ops, fd, c};
    return true;
}
