/* Counting subscribers: see count.h.
 *
 * One object goes from worker to worker, each of which adds its own, and then to Redis; so there is
 * nothing to be kept of a question, and one that is lost on the way is lost for who asked. */
#include "relay/bus/count.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "relay/wire/count.h"
#include "relay/wire/names.h"

enum { UNDER_WAY_MAX = 64 };

void count_init(struct bus *bus) {
    names_probe_channel(&bus->count.channel, bus->options.prefix, COUNT_CHANNEL);
}

void count_fini(struct bus *bus) {
    buf_fini(&bus->count.channel);
}

/* A user without the right to a channel is not asked, or not heard; the connections go on. */
static void on_refused(void *arg, int status, const struct redisReply *reply) {
    (void)arg, (void)status, (void)reply;
}

void count_subscribe(struct bus *bus) {
    const char *argv[] = {"SUBSCRIBE", bus->count.channel.data};
    const size_t argv_len[] = {9, bus->count.channel.len};
    redis_client_subscription_command(&bus->node.subscriber, 2, argv, argv_len, on_refused, NULL);
}

bool count_is_channel(const struct bus *bus, const char *channel, size_t len) {
    return len == bus->count.channel.len && memcmp(channel, bus->count.channel.data, len) == 0;
}

static void publish(struct bus *bus, const struct bus_count *c) {
    struct buf channel = BUF_INIT, text = BUF_INIT;
    names_probe_channel(&channel, bus->options.prefix, c->answer_to);
    count_answer_put(&text, bus->options.node, c->subscribers, c->topic, c->topic_len);
    const char *argv[] = {"PUBLISH", channel.data, text.data};
    const size_t argv_len[] = {7, channel.len, text.len};
    redis_client_command(&bus->node.publisher, 3, argv, argv_len, on_refused, NULL);
    buf_fini(&channel);
    buf_fini(&text);
}

static void go_on(struct bus *bus, struct bus_count *c) {
    if (c->asked < bus->options.workers) {
        c->base.message.kind = BUS_COUNT;
        queue_push_control(bus->options.inboxes[c->asked++], &c->base.message.node);
        return;
    }
    publish(bus, c);
    bus->count.under_way--;
    free(c);
}

void count_asked(struct bus *bus, const char *text, size_t len) {
    struct count_question q;
    if (!count_question_read(text, len, &q) || bus->count.under_way == UNDER_WAY_MAX)
        return;
    struct bus_count *c = mem_try(sizeof(*c) + q.topic_len);
    if (c == NULL)
        return;
    *c = (struct bus_count){.topic_len = q.topic_len};
    memcpy(c->answer_to, q.answer_to, sizeof(c->answer_to));
    memcpy(c->topic, q.topic, q.topic_len);
    bus->count.under_way++;
    go_on(bus, c);
}

void count_answered(struct bus *bus, struct bus_count *c) {
    if (!bus->stopping) {
        go_on(bus, c);
        return;
    }
    bus->count.under_way--;
    free(c);
}
