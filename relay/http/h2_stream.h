/* A stream of HTTP/2 as an exchange: answers, and a subscriber's frames. For h2*.c, above it. */
#ifndef RELAY_HTTP_H2_STREAM_H
#define RELAY_HTTP_H2_STREAM_H

#include "relay/http/h2.h"

/* One that begins with a request; nghttp2 finds it by its id. */
struct h2_stream *h2_stream_new(struct h2 *h, int32_t id);

/* nghttp2 has closed it: end it, as FINISHING ends or by @why, and free it, but not before the
 * batch that it is in has left. */
void h2_stream_closed(struct h2_stream *s, enum hub_end why);

/* End it and free it, whatever nghttp2 thinks: the connection ends. */
void h2_stream_free(struct h2_stream *s, enum hub_end why);

/* End what it is for; the stream itself stays until nghttp2 closes it. */
void h2_stream_end(struct h2_stream *s, enum hub_end why);

/* The batch has left: its streams may forget what was in it, and those that are dead are freed. */
void h2_streams_settle(struct h2 *h, struct h2_batch *b);

/* A frame of it has left for the batch: one that ends it, or not. */
void h2_stream_frame_sent(struct h2_stream *s, bool end);

/* nghttp2's callbacks that make a DATA frame: how many bytes, and which. */
ssize_t h2_stream_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *ctx);
int h2_stream_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                   size_t length, nghttp2_data_source *source, void *ctx);

/* Answer 100 to one that asks whether to send its body. */
void h2_stream_continue(struct h2_stream *s);

/* Something is awaited of it from now on, for so long at most; or is not any more. */
void h2_stream_await(struct h2_stream *s, uint64_t timeout_ms);

/* When its deadline is; 0: none. */
uint64_t h2_stream_due_ms(const struct h2_stream *s);

/* The connection's deadline comes at @due_ms, or before. */
void h2_due(struct h2 *h, uint64_t due_ms);

#endif
