/* Topics whose keys Redis refuses to read.
 *
 * A key may hold something else than the relay keeps there (WRONGTYPE), or the rights of the
 * relay's user may not cover it (NOPERM). Nobody knows for how long, so replays that need it are
 * refused rather than kept, and everybody else goes on. It is read again each second or two
 * (history.c); when that works, the topic's subscribers are told to ask again. */
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/internal.h"
#include "relay/wire/names.h"

enum { LOG_EVERY_MS = 60 * 1000 };

/* What Redis says of itself and not of the key: it passes. */
static bool is_of_server(const char *why) {
    static const char *const words[] = {"LOADING ", "BUSY ", "MASTERDOWN ", "CLUSTERDOWN "};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strncmp(why, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

static void tell(struct bus_subscription *s, enum topic_key which, const char *why) {
    struct bus *bus = s->bus;
    uint64_t suppressed;
    if (!log_limit_pass(&bus->unreadable_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        return;
    struct buf key = BUF_INIT;
    if (which == TOPIC_KEY_LAST)
        names_last(&key, bus->options.prefix, BUS_TAG, s->topic, s->topic_len);
    else
        names_log(&key, bus->options.prefix, BUS_TAG, s->topic, s->topic_len);
    log_warn("Redis refuses to read a topic; its subscribers wait. Give the relay's user the keys "
             "of its prefix (ACL SETUSER <user> ~<prefix>:*), or delete the key where it is none "
             "of the relay's",
             "topic=%s key=%s why=%s suppressed=%llu", s->topic, key.data, why,
             (unsigned long long)suppressed);
    buf_fini(&key);
}

static void refused(struct bus_subscription *s, enum topic_key key, const char *why) {
    bool is_new = s->unreadable == 0;
    s->unreadable |= key;
    s->bus->replays_due = true;
    if (!is_new)
        return;
    figure_add(&s->bus->figures->topics_unreadable, 1);
    tell(s, key, why);
}

void unreadable_answered(struct bus_subscription *s, enum topic_key key, int status,
                         const redisReply *reply) {
    if (status == RELAY_EREMOTE && !is_of_server(reply->str)) {
        refused(s, key, reply->str);
    } else if (status == RELAY_OK && (s->unreadable & key) != 0) {
        s->unreadable &= ~(unsigned)key;
        if (s->unreadable == 0)
            subscriptions_tell_gap_to_all(s, 0); /* whoever was refused asks again */
    }
}
