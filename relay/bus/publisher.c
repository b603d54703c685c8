/* Publishing: durable events go through the script (script.c); a live one is one PUBLISH per topic,
 * pipelined, and its answer goes back once all have one. */
#include "relay/bus/publisher.h"

#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/bus/core_state.h"
#include "relay/bus/publish_answer.h"
#include "relay/bus/script.h"
#include "relay/wire/names.h"

enum {
    /* A publish that would exceed it is refused: Redis does not take them fast enough. */
    UNSENT_MAX_BYTES = 2 * BUS_PUBLISH_MAX_BYTES
};

static void on_reply(void *arg, int status, const struct redisReply *reply) {
    struct bus_publish *p = arg;
    if (status != RELAY_OK)
        publish_note_failure(p, status, reply != NULL ? reply->str : NULL);
    if (--p->topics_left == 0)
        publish_answer(p);
}

static int send_one(struct bus *bus, struct bus_publish *p, const char *topic) {
    struct buf channel = BUF_INIT;
    names_channel(&channel, bus->options.prefix, topic, strlen(topic));
    const char *argv[] = {"PUBLISH", channel.data, p->envelope};
    const size_t argv_len[] = {7, channel.len, p->envelope_len};
    int rc = redis_client_command(&bus->node.publisher, 3, argv, argv_len, on_reply, p);
    buf_fini(&channel);
    return rc;
}

static void publish_live(struct bus *bus, struct bus_publish *p) {
    const char *topic = p->topics;
    if (bus->node.server.is_replica) { /* it takes a PUBLISH, and tells nobody else */
        p->error = PUBLISH_READONLY;
        publish_done(p, RELAY_EREMOTE, bus_unfit_text(BUS_UNFIT_REPLICA));
        return;
    }
    p->topics_left = p->topics_len;
    if (redis_client_unsent_bytes(&bus->node.publisher) + p->envelope_len * p->topics_len >
        UNSENT_MAX_BYTES) {
        publish_note_failure(p, RELAY_EAGAIN, NULL);
        publish_answer(p);
        return;
    }
    for (size_t i = 0; i < p->topics_len; i++, topic += strlen(topic) + 1) {
        if (send_one(bus, p, topic) == RELAY_OK)
            continue;
        /* Not connected. Nothing was sent when this is the first: the connection does not change
         * within a turn. */
        publish_note_failure(p, i == 0 ? RELAY_EAGAIN : RELAY_ECONN, NULL);
        p->topics_left -= p->topics_len - i;
        break;
    }
    if (p->topics_left == 0)
        publish_answer(p);
}

void publish_request(struct bus *bus, struct bus_publish *p) {
    p->bus = bus;
    if (redis_client_unsent_bytes(&bus->node.publisher) > UNSENT_MAX_BYTES)
        publish_done(p, RELAY_EAGAIN, NULL);
    else if (p->durable)
        script_publish(&bus->node, p);
    else
        publish_live(bus, p);
}
