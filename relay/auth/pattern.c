/* Patterns of topics; see pattern.h.
 *
 * Matching goes through the pattern once and keeps the set of all places of the topic that it may
 * have come to. So its work is bounded whatever the pattern is: going back to a wildcard is quicker
 * for most of them, and takes seconds for one that somebody thought out. A unit test compares it
 * with plain recursion. */
#include "relay/auth/pattern.h"

#include <string.h>

#include "relay/base/utf8.h"

static const char placeholder[] = "{sub}";

enum { PLACEHOLDER_LEN = sizeof(placeholder) - 1 };

static bool is_placeholder(const char *p, const char *end) {
    return end - p >= PLACEHOLDER_LEN && memcmp(p, placeholder, PLACEHOLDER_LEN) == 0;
}

const char *pattern_check(const char *pattern, size_t len) {
    const char *end = pattern + len;
    if (len == 0)
        return "is empty";
    if (len > PATTERN_MAX_BYTES)
        return "is longer than 512 bytes";
    if (!utf8_valid(pattern, len))
        return "is not valid UTF-8";
    if (utf8_has_control(pattern, len))
        return "holds a control character";
    for (const char *p = pattern; p < end; p++) {
        if (is_placeholder(p, end))
            p += PLACEHOLDER_LEN - 1;
        else if (*p == '{' || *p == '}')
            return "holds { or } that is not part of {sub}";
        else if (end - p >= 3 && memcmp(p, "***", 3) == 0)
            return "holds more than two * in a row";
    }
    return NULL;
}

/* The places of the topic at which the pattern may stand: 0 before its first byte, len behind its
 * last one. All are between first and last; there is none where first is beyond last. */
struct places {
    const char *topic;
    size_t len, first, last;
    bool at[PATTERN_TOPIC_MAX_BYTES + 1];
};

/* @text comes next. Backwards, so that a place which moves up is not met again. */
static void pass_text(struct places *p, const char *text, size_t len) {
    size_t first = p->len + 1, last = 0;
    for (size_t i = p->last + 1; i-- > p->first;) {
        bool fits = p->at[i] && p->len - i >= len && memcmp(p->topic + i, text, len) == 0;
        p->at[i] = false;
        if (!fits)
            continue;
        first = i + len;
        last = last > 0 ? last : first;
        p->at[first] = true;
    }
    p->first = first;
    p->last = last;
}

/* A wildcard comes next: from each place to all behind it, and @any of them over dots as well. */
static void pass_wildcard(struct places *p, bool any) {
    bool reached = false;
    for (size_t i = p->first; i <= p->len; i++) {
        reached = p->at[i] || (reached && (any || p->topic[i - 1] != '.'));
        p->at[i] = reached;
        if (reached)
            p->last = i;
    }
}

/* How many bytes from @p on stand for themselves. */
static size_t text_len(const char *p, const char *end) {
    size_t len = 0;
    while (p + len < end && p[len] != '*' && !is_placeholder(p + len, end))
        len++;
    return len;
}

bool pattern_matches(const char *pattern, size_t pattern_len, const struct subject *subject,
                     const char *topic, size_t topic_len) {
    struct places places = {.topic = topic, .len = topic_len};
    const char *end = pattern + pattern_len;
    if (topic_len > PATTERN_TOPIC_MAX_BYTES)
        return false;
    places.at[0] = true;
    for (const char *p = pattern; p < end && places.first <= places.last;) {
        if (*p == '*') {
            bool any = end - p >= 2 && p[1] == '*';
            pass_wildcard(&places, any);
            p += any ? 2 : 1;
        } else if (is_placeholder(p, end)) {
            if (subject == NULL || subject->len == 0)
                return false;
            pass_text(&places, subject->data, subject->len);
            p += PLACEHOLDER_LEN;
        } else {
            size_t len = text_len(p, end);
            pass_text(&places, p, len);
            p += len;
        }
    }
    return places.at[topic_len];
}
