/* Patterns, subjects and topics: three lines. Matching is as its definition has it, by recursion.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/auth/pattern.h"
#include "tests/fuzz/fuzz.h"

/* The definition would take for ever over longer ones. */
enum { LONGEST = 24, SUBJECT_LEN = 5 };

struct text {
    const char *data;
    size_t len;
};

static struct text line(const char **p, const char *end) {
    const char *stop = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;
    struct text t = {*p, (size_t)((stop != NULL ? stop : end) - *p)};
    *p = stop != NULL ? stop + 1 : end;
    return t;
}

static struct text behind(struct text t, size_t n) {
    return (struct text){t.data + n, t.len - n};
}

static bool fits(struct text p, struct text sub, struct text t) {
    if (p.len == 0)
        return t.len == 0;
    if (p.len >= SUBJECT_LEN && memcmp(p.data, "{sub}", SUBJECT_LEN) == 0)
        return sub.len > 0 && t.len >= sub.len && memcmp(t.data, sub.data, sub.len) == 0 &&
               fits(behind(p, SUBJECT_LEN), sub, behind(t, sub.len));
    if (p.data[0] != '*')
        return t.len > 0 && p.data[0] == t.data[0] && fits(behind(p, 1), sub, behind(t, 1));
    bool any = p.len > 1 && p.data[1] == '*';
    for (size_t n = 0;; n++) {
        if (fits(behind(p, any ? 2 : 1), sub, behind(t, n)))
            return true;
        if (n == t.len || (!any && t.data[n] == '.'))
            return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *p = (const char *)data, *end = p + size;
    struct text pattern = line(&p, end), sub = line(&p, end), topic = line(&p, end);
    if (pattern_check(pattern.data, pattern.len) != NULL)
        return 0;
    struct subject subject = {sub.data, sub.len};
    bool found = pattern_matches(pattern.data, pattern.len, &subject, topic.data, topic.len);
    if (pattern.len <= LONGEST && topic.len <= LONGEST && found != fits(pattern, sub, topic))
        abort();
    return 0;
}
