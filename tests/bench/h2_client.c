/* Streams of one connection through nghttp2; see h2_client.h. */
#include "tests/bench/h2_client.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM_WINDOW = 6 << 20, CONNECTION_WINDOW = 15 << 20 };

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *user) {
    (void)value_length;
    (void)flags;
    const struct h2_client_handlers *h = user;
    void *subscriber = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (name_length == 7 && memcmp(name, ":status", 7) == 0 && subscriber != NULL)
        h->on_head(subscriber, atoi((const char *)value)); /* nghttp2 ends values with a NUL */
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t length, void *user) {
    (void)flags;
    const struct h2_client_handlers *h = user;
    void *subscriber = nghttp2_session_get_stream_user_data(session, id);
    if (subscriber != NULL)
        h->on_bytes(subscriber, (const char *)bytes, length);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
    (void)code;
    const struct h2_client_handlers *h = user;
    void *subscriber = nghttp2_session_get_stream_user_data(session, id);
    if (subscriber != NULL)
        h->on_end(subscriber);
    return 0;
}

nghttp2_session *h2_client_new(const struct h2_client_handlers *handlers) {
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new(&session, callbacks, (void *)(uintptr_t)handlers) != 0)
        abort();
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW}};
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    return session;
}

static nghttp2_nv field(const char *name, const char *value) {
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

void h2_client_subscribe(nghttp2_session *session, const char *scheme, const char *authority,
                         const char *path, void *subscriber) {
    const nghttp2_nv fields[] = {field(":method", "GET"), field(":scheme", scheme),
                                 field(":authority", authority), field(":path", path),
                                 field("accept", "text/event-stream")};
    if (nghttp2_submit_request(session, NULL, fields, 5, NULL, subscriber) < 0)
        abort();
}
