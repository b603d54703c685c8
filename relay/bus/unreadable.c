/* Topics whose keys Redis refuses to read.
 *
 * A key may hold something else than the relay keeps there (WRONGTYPE), or the rights of the
 * relay's user may not cover it (NOPERM). Nobody knows for how long, so replays that need it are
 * refused rather than kept, and everybody else goes on. It is read again each second or two
 * (topic_sync.c); when that works, the topic's subscribers are told to ask again. */
#include "relay/bus/unreadable.h"

#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/core_state.h"
#include "relay/bus/deliver.h"
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

static void tell(struct bus_topic *t, enum topic_key which, const char *why) {
    struct bus *bus = t->domain->bus;
    uint64_t suppressed;
    if (!log_limit_pass(&bus->unreadable_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        return;
    struct buf key = BUF_INIT;
    if (which == TOPIC_KEY_LAST)
        names_last(&key, bus->options.prefix, t->domain->tag, t->name, t->name_len);
    else
        names_log(&key, bus->options.prefix, t->domain->tag, t->name, t->name_len);
    log_warn("Redis refuses to read a topic; its subscribers wait. Give the relay's user the keys "
             "of its prefix (ACL SETUSER <user> ~<prefix>:*), or delete the key if it is not "
             "the relay's",
             "topic=%s key=%s why=%s suppressed=%llu", t->name, key.data, why,
             (unsigned long long)suppressed);
    buf_fini(&key);
}

static void refused(struct bus_topic *t, enum topic_key key, const char *why) {
    bool is_new = t->keys.unreadable == 0;
    t->keys.unreadable |= key;
    t->domain->bus->replays_due = true;
    if (!is_new)
        return;
    metric_add(&t->domain->bus->metrics->topics_unreadable, 1);
    tell(t, key, why);
}

void unreadable_answered(struct bus_topic *t, enum topic_key key, int status,
                         const redisReply *reply) {
    if (status == RELAY_EREMOTE && !is_of_server(reply->str)) {
        refused(t, key, reply->str);
    } else if (status == RELAY_OK && (t->keys.unreadable & key) != 0) {
        t->keys.unreadable &= ~(unsigned)key;
        if (t->keys.unreadable != 0)
            return;
        metric_sub(&t->domain->bus->metrics->topics_unreadable, 1);
        notify_gap_to_all(t, 0); /* whoever was refused asks again */
    }
}

void unreadable_free(struct bus_topic *t) {
    if (t->keys.unreadable != 0)
        metric_sub(&t->domain->bus->metrics->topics_unreadable, 1);
    t->keys.unreadable = 0;
}
