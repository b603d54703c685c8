/* One HTTP/2 connection, as a client that subscribes several streams on it. Knows frames, and
 * neither sockets nor what the bytes of a stream mean.
 *
 * Windows are those of Chromium: 6 MiB for each stream, 15 MiB for the connection. */
#ifndef BENCH_H2_CLIENT_H
#define BENCH_H2_CLIENT_H

#include <nghttp2/nghttp2.h>
#include <stddef.h>

/* Called from within nghttp2_session_mem_recv(); they must not free the session. */
struct h2_client_handlers {
    void (*on_head)(void *subscriber, int status);
    void (*on_bytes)(void *subscriber, const char *bytes, size_t length);
    void (*on_end)(void *subscriber); /* the stream was closed, by whomever */
};

/* @handlers outlive the session, which nghttp2_session_del() frees without a call. */
nghttp2_session *h2_client_new(const struct h2_client_handlers *handlers);

/* Ask for @path on a stream of its own. @subscriber is what the handlers get. */
void h2_client_subscribe(nghttp2_session *session, const char *scheme, const char *authority,
                         const char *path, void *subscriber);

#endif
