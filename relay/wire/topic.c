/* The rules for topics, event names, retry and data; see topic.h. */
#include "relay/wire/topic.h"

#include <stdbool.h>
#include <string.h>

#include "relay/base/utf8.h"

/* Names that begin with this are the relay's own. */
static const char reserved[] = "relay.";

static bool is_reserved(const char *s, size_t len) {
    size_t n = sizeof(reserved) - 1;
    return len >= n && memcmp(s, reserved, n) == 0;
}

static bool equals(const char *s, size_t len, const char *word) {
    return len == strlen(word) && memcmp(s, word, len) == 0;
}

/* What topics and event names have in common; @len is within the limit. */
static const char *name_check(const char *s, size_t len) {
    if (!utf8_valid(s, len))
        return "is not valid UTF-8";
    if (utf8_has_control(s, len))
        return "holds a control character";
    if (is_reserved(s, len))
        return "begins with relay., which is kept for the relay's own";
    return NULL;
}

const char *topic_check(const char *topic, size_t len) {
    if (len == 0)
        return "is empty";
    if (len > TOPIC_MAX_BYTES)
        return "is longer than 256 bytes";
    for (size_t i = 0; i < len; i++)
        if (topic[i] == '*' || topic[i] == '{' || topic[i] == '}')
            return "holds one of * { }, which are kept for patterns";
    return name_check(topic, len);
}

const char *event_name_check(const char *name, size_t len) {
    if (len == 0)
        return NULL;
    if (len > EVENT_NAME_MAX_BYTES)
        return "is longer than 128 bytes";
    if (equals(name, len, "error") || equals(name, len, "open"))
        return "is error or open, which EventSource uses itself";
    return name_check(name, len);
}

const char *retry_check(uint64_t retry_ms) {
    if (retry_ms < RETRY_MIN_MS || retry_ms > RETRY_MAX_MS)
        return "is not between 100 and 3600000 milliseconds";
    return NULL;
}

const char *data_check(const char *data, size_t len) {
    if (len > DATA_MAX_BYTES)
        return "is longer than 1 MiB";
    if (!utf8_valid(data, len))
        return "is not valid UTF-8";
    return NULL;
}
