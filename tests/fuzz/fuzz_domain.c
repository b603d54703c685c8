/* A domain's clock and the entries of its logs, from whatever calls itself Redis. The input is
 * replies: the first one is the clock, the others are entries.
 *
 * Held to: what is read as an event lies in this birth and has all its parts, and its id is one
 * that anybody can read. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/inspect/domain.h"
#include "relay/base/err.h"
#include "relay/redis/parser.h"
#include "relay/redis/reply.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

static void check_entry(const struct domain *d, const struct redisReply *reply) {
    struct log_entry entry;
    struct event_id id;
    struct buf text = BUF_INIT;
    time_read(reply);
    if (log_entry_read(d, reply, &entry) != LOG_ENTRY_EVENT)
        return;
    struct place place = {entry.id.ms, entry.id.seq};
    must(place_compare(&place, &d->born) > 0);
    must(entry.json != NULL && entry.json[entry.json_len] == '\0');
    must(entry.prev != NULL && entry.prev_len > 0);
    id_format(&text, &entry.id);
    must(id_parse(text.data, text.len, &id) == RELAY_OK && id_compare(&id, &entry.id) == 0);
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct redis_parser p;
    struct domain d = {.is_born = false};
    const struct redisReply *reply;
    bool has_clock = false;
    redis_parser_init(&p);
    p.limit_bytes = 32 * 1024;
    if (redis_parser_feed(&p, (const char *)data, size) == RELAY_OK)
        while (redis_parser_next(&p, &reply) == RELAY_OK && reply != NULL) {
            if (has_clock)
                check_entry(&d, reply);
            else
                domain_read(&d, reply);
            has_clock = true;
        }
    redis_parser_fini(&p);
    return 0;
}
