/* A topic's reads; see topic_reads.h. */
#include "relay/bus/topic_reads.h"

#include <assert.h>
#include <stdlib.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"

struct topic_read *topic_read_start(struct bus_topic *t, enum topic_read_kind kind) {
    assert(t->history.reads[kind] == NULL);
    struct topic_read *read = mem_zalloc(sizeof(*read));
    *read = (struct topic_read){.topic = t, .kind = kind, .floor = t->history.ring.floor};
    t->history.reads[kind] = read;
    return read;
}

void topic_read_log(struct bus_topic *t, enum topic_read_kind kind, const struct log_range *range,
                    size_t count, redis_reply_cb cb) {
    struct topic_read *read = topic_read_start(t, kind);
    read->count = count;
    int rc = log_read(t, range, count, cb, read);
    if (rc != RELAY_OK)
        topic_read_finish(read, rc);
}

void topic_read_cancel(struct bus_topic *t, enum topic_read_kind kind) {
    struct topic_read *read = t->history.reads[kind];
    if (read != NULL)
        read->topic = NULL;
    t->history.reads[kind] = NULL;
}

void topic_read_cancel_all(struct bus_topic *t) {
    for (enum topic_read_kind kind = 0; kind < TOPIC_READS; kind++)
        topic_read_cancel(t, kind);
}

struct bus_topic *topic_read_finish(struct topic_read *read, int status) {
    struct bus_topic *t = read->topic;
    enum topic_read_kind kind = read->kind;
    if (t != NULL) {
        assert(t->history.reads[kind] == read);
        t->history.reads[kind] = NULL;
        if (status != RELAY_OK && kind == TOPIC_READ_SYNC)
            tracker_forget(&t->history.tracker);
    }
    free(read);
    return status == RELAY_OK ? t : NULL;
}

struct bus_topic *topic_read_finish_log(struct topic_read *read, int status,
                                        const struct redisReply *reply) {
    bool is_wrong = status == RELAY_OK && reply->type != REDIS_REPLY_ARRAY;
    if (read->topic != NULL)
        log_answered(read->topic, status, reply, read->count);
    return topic_read_finish(read, is_wrong ? RELAY_EPROTO : status);
}
