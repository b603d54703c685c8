/* Names in Redis; see names.h. */
#include "relay/wire/names.h"

#include <string.h>

const char *names_prefix_check(const char *prefix) {
    size_t len = strlen(prefix);
    if (len == 0)
        return "is empty";
    if (len > NAMES_PREFIX_MAX_BYTES)
        return "is longer than 64 bytes";
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    if (strspn(prefix, allowed) != len)
        return "holds something else than letters, digits and _ . -";
    return NULL;
}

void names_channel(struct buf *out, const char *prefix, const char *topic, size_t topic_len) {
    buf_puts(out, prefix);
    buf_putc(out, ':');
    buf_append(out, topic, topic_len);
}

bool names_topic_of_channel(const char *prefix, const char *channel, size_t channel_len,
                            const char **topic, size_t *topic_len) {
    size_t n = strlen(prefix);
    if (channel_len < n + 2 || memcmp(channel, prefix, n) != 0 || channel[n] != ':')
        return false;
    *topic = channel + n + 1;
    *topic_len = channel_len - n - 1;
    return true;
}

void names_probe_channel(struct buf *out, const char *prefix, const char *node) {
    buf_puts(out, prefix);
    buf_puts(out, ":relay.");
    buf_puts(out, node);
}

/* `<prefix>:{<tag>}:<kind>`, and the name behind it. */
static void put_key(struct buf *out, const char *prefix, const char *tag, const char *kind,
                    const char *name, size_t name_len) {
    buf_puts(out, prefix);
    buf_puts(out, ":{");
    buf_puts(out, tag);
    buf_puts(out, "}:");
    buf_puts(out, kind);
    buf_append(out, name, name_len);
}

void names_log(struct buf *out, const char *prefix, const char *tag, const char *topic,
               size_t topic_len) {
    put_key(out, prefix, tag, "log:", topic, topic_len);
}

void names_last(struct buf *out, const char *prefix, const char *tag, const char *topic,
                size_t topic_len) {
    put_key(out, prefix, tag, "last:", topic, topic_len);
}

void names_clock(struct buf *out, const char *prefix, const char *tag) {
    put_key(out, prefix, tag, "clock", "", 0);
}

void names_once(struct buf *out, const char *prefix, const char *tag, const char *key,
                size_t key_len) {
    put_key(out, prefix, tag, "once:", key, key_len);
}

void names_bars(struct buf *out, const char *prefix, const char *tag) {
    put_key(out, prefix, tag, "bars", "", 0);
}
