/* What was done so far; see tally.h. */
#include "publisher-cli/publish/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "publisher-cli/base/terminal.h"

/* FNV-1a: topics are the user's own, and two that collide are counted as one. */
static uint64_t hash_of(const char *text, size_t len) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return hash == 0 ? 1 : hash;
}

void tally_topic(struct tally *t, const char *topic, size_t len) {
    enum { SLOTS = 2 * TALLY_TOPICS_MAX };
    uint64_t hash = hash_of(topic, len);
    size_t slot = (size_t)(hash % SLOTS);
    while (t->topics[slot] != 0 && t->topics[slot] != hash)
        slot = (slot + 1) % SLOTS;
    if (t->topics[slot] == hash || t->topics_count > TALLY_TOPICS_MAX)
        return;
    t->topics[slot] = hash;
    t->topics_count++;
}

void tally_put_number(struct buf *out, uint64_t n) {
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf_putc(out, ',');
        buf_putc(out, digits[i]);
    }
}

void tally_put_rate(struct buf *out, double per_second) {
    uint64_t unit = 1;
    if (per_second < 10) {
        buf_printf(out, "%.2g/s", per_second);
        return;
    }
    while (per_second / (double)unit >= 1000)
        unit *= 10;
    tally_put_number(out, (uint64_t)(per_second / (double)unit + 0.5) * unit);
    buf_puts(out, "/s");
}

void tally_put_time(struct buf *out, uint64_t us) {
    uint64_t s = us / 1000000;
    if (us < 1000000)
        buf_printf(out, "%" PRIu64 " ms", us / 1000);
    else if (s < 60)
        buf_printf(out, "%.1f s", (double)us / 1e6);
    else if (s < 3600)
        buf_printf(out, "%" PRIu64 ":%02" PRIu64 " min", s / 60, s % 60);
    else
        buf_printf(out, "%" PRIu64 ":%02" PRIu64 " h", s / 3600, s / 60 % 60);
}

static void put_more(struct buf *out, uint64_t n, const char *what, const char **separator) {
    if (n == 0)
        return;
    buf_puts(out, *separator);
    tally_put_number(out, n);
    buf_printf(out, " %s", what);
    *separator = ", ";
}

static void put_topics(const struct tally *t, struct buf *out) {
    uint64_t n = t->topics_count;
    if (n == 0)
        return;
    buf_puts(out, n > TALLY_TOPICS_MAX ? " to more than " : " to ");
    tally_put_number(out, n > TALLY_TOPICS_MAX ? TALLY_TOPICS_MAX : n);
    buf_printf(out, " topic%s", plural(n));
}

void tally_put_summary(const struct tally *t, uint64_t elapsed_us, struct buf *out) {
    const char *separator = "; ";
    buf_puts(out, "published ");
    tally_put_number(out, t->published);
    buf_printf(out, " event%s", plural(t->published));
    put_topics(t, out);
    buf_puts(out, " in ");
    tally_put_time(out, elapsed_us);
    if (elapsed_us > 0 && t->published > 0) {
        buf_puts(out, " (");
        tally_put_rate(out, (double)t->published * 1e6 / (double)elapsed_us);
        buf_putc(out, ')');
    }
    put_more(out, t->duplicates, "of them published before", &separator);
    put_more(out, t->found, "of them found stored when sent again", &separator);
    put_more(out, t->skipped, "skipped", &separator);
    put_more(out, t->failed, "failed", &separator);
    put_more(out, t->lost, "published or not, which is not known", &separator);
    put_more(out, t->doubled, "perhaps there twice, since the connection was lost", &separator);
    put_more(out, t->overtaken, "behind later ones, since Redis was busy", &separator);
}
