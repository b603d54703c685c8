/* What the relay asks of Redis: commands read when they are sent, executed when they arrive. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/simulation/record.h"

/* ---- reading a command ---- */

/* Topics are called a, b, c and d, and keys end with them. */
static uint8_t topic_of(const char *name, size_t len) {
    return (uint8_t)(name[len - 1] - 'a');
}

static struct place place_of(const char *text) {
    struct place p = {0, 0};
    char *end;
    if (*text == '(')
        text++;
    if (*text == '+')
        return (struct place){UINT64_MAX, UINT64_MAX};
    if (*text == '-')
        return p;
    p.ms = strtoull(text, &end, 10);
    p.seq = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    return p;
}

static void read_range(struct parcel *p, const char **argv, const size_t *argv_len) {
    p->topic = topic_of(argv[1], argv_len[1]);
    p->backwards = argv[0][1] == 'R' && argv[0][2] == 'E';
    p->low = place_of(argv[p->backwards ? 3 : 2]);
    p->high = place_of(argv[p->backwards ? 2 : 3]);
    p->count = (unsigned)strtoul(argv[5], NULL, 10);
}

static void read_script(struct world *w, struct parcel *p, int argc, const char **argv,
                        const size_t *argv_len) {
    int keys = atoi(argv[2]), values = 3 + keys;
    struct publish *publish = p->publish = arena_take(w, sizeof(*publish));
    memset(publish, 0, sizeof(*publish));
    p->backwards = strcmp(argv[0], "EVAL") == 0; /* the text is there */
    snprintf(publish->birth, sizeof(publish->birth), "%s", argv[values]);
    publish->run = (unsigned)strtoul(argv[values + 1] + 3, NULL, 10);
    publish->memory_ms = strtoull(argv[values + 2], NULL, 10);
    publish->ttl_ms = strtoull(argv[values + 3], NULL, 10);
    publish->history = strtoull(argv[values + 4], NULL, 10);
    publish->topics_len = publish->events_len = (unsigned)(keys - 1) / 2;
    for (unsigned i = 0; i < publish->topics_len; i++) {
        publish->topics[i] = topic_of(argv[4 + 2 * i], argv_len[4 + 2 * i]);
        publish->event_topics[i] = (uint8_t)i;
    }
    if (publish->topics_len > 0)
        publish->content = (uint32_t)strtoul(argv[values + 5] + 9, NULL, 10);
    (void)argc;
}

static uint8_t channel_of(const struct node *n, const char *channel, size_t len) {
    if (len <= 10 || memcmp(channel, "sse:relay.", 10) != 0)
        return topic_of(channel, len);
    return strcmp(channel + 10, n->name) == 0 ? (uint8_t)PROBE_CHANNEL
                                              : (uint8_t)COUNT_CHANNEL_NUMBER;
}

static void read_plain_publish(struct link *l, struct parcel *p, const char **argv,
                               const size_t *argv_len) {
    struct world *w = l->node->world;
    char *bytes = arena_take(w, argv_len[2] + 1);
    memcpy(bytes, argv[2], argv_len[2] + 1);
    p->bytes = bytes;
    p->bytes_len = (uint32_t)argv_len[2];
    p->topic = channel_of(l->node, argv[1], argv_len[1]);
    if (p->topic != PROBE_CHANNEL)
        return;
    p->number = strtoull(bytes, NULL, 10);
    l->node->probe_nonce = p->number;
    l->node->probe_sent_us = w->scheduler.now_us;
    l->node->probe_had_receiver = true;
}

static enum parcel_kind kind_of(const char *command) {
    static const struct {
        const char *name;
        enum parcel_kind kind;
    } known[] = {{"PING", PARCEL_PING},           {"HSET", PARCEL_NOTE},
                 {"CONFIG", PARCEL_PING}, /* as a server that does not let itself be asked */
                 {"HGETALL", PARCEL_CLOCK},       {"GET", PARCEL_LAST},
                 {"XRANGE", PARCEL_LOG},          {"XREVRANGE", PARCEL_LOG},
                 {"INFO", PARCEL_INFO},           {"TIME", PARCEL_TIME},
                 {"SCRIPT", PARCEL_LOAD},         {"EVALSHA", PARCEL_SCRIPT},
                 {"EVAL", PARCEL_SCRIPT},         {"PUBLISH", PARCEL_PUBLISH},
                 {"SUBSCRIBE", PARCEL_SUBSCRIBE}, {"UNSUBSCRIBE", PARCEL_UNSUBSCRIBE}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(command, known[i].name) == 0)
            return known[i].kind;
    fprintf(stderr, "the simulated Redis does not know %s: see tests/simulation/commands.c\n",
            command);
    abort();
}

struct parcel *parcel_of_command(struct link *l, int argc, const char **argv,
                                 const size_t *argv_len);

struct parcel *parcel_of_command(struct link *l, int argc, const char **argv,
                                 const size_t *argv_len) {
    struct world *w = l->node->world;
    struct parcel *p = parcel_new(w, kind_of(argv[0]));
    if (p->kind == PARCEL_LAST)
        p->topic = topic_of(argv[1], argv_len[1]);
    else if (p->kind == PARCEL_LOG)
        read_range(p, argv, argv_len);
    else if (p->kind == PARCEL_INFO)
        p->count = argc > 1 && strcmp(argv[1], "replication") == 0;
    else if (p->kind == PARCEL_SCRIPT)
        read_script(w, p, argc, argv, argv_len);
    else if (p->kind == PARCEL_PUBLISH)
        read_plain_publish(l, p, argv, argv_len);
    else if (p->kind == PARCEL_SUBSCRIBE || p->kind == PARCEL_UNSUBSCRIBE)
        for (int i = 1; i < argc; i++)
            p->channels |= 1u << channel_of(l->node, argv[i], argv_len[i]);
    return p;
}

/* ---- what Redis refuses ---- */

static const char no_ping[] = "NOPERM this user has no permissions to run the 'ping' command",
                  no_key[] = "NOPERM this user has no permissions to access one of the keys used "
                             "as arguments",
                  no_channel[] =
                      "NOPERM this user has no permissions to access one of the channels "
                      "used as arguments",
                  loading[] = "LOADING Redis is loading the dataset in memory",
                  read_only[] = "READONLY You can't write against a read only replica.",
                  no_script[] = "NOSCRIPT No matching script. Please use EVAL.";

static unsigned denied_channels(const struct world *w) {
    unsigned denied = 0;
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        if (w->scheduler.now_us < w->channel_denied_until_us[t])
            denied |= 1u << t;
    return denied;
}

static bool is_key_denied(const struct world *w, unsigned topic) {
    return w->scheduler.now_us < w->keys_denied_until_us[topic];
}

static const char *refusal(struct world *w, const struct parcel *p) {
    if (w->scheduler.now_us < w->loading_until_us)
        return loading;
    switch (p->kind) {
    case PARCEL_PING:
        return w->scheduler.now_us < w->ping_denied_until_us ? no_ping : NULL;
    case PARCEL_LAST:
    case PARCEL_LOG:
        return is_key_denied(w, p->topic) ? no_key : NULL;
    case PARCEL_SUBSCRIBE:
        return (p->channels & denied_channels(w)) != 0 ? no_channel : NULL;
    case PARCEL_PUBLISH:
        return (1u << p->topic & denied_channels(w)) != 0 ? no_channel : NULL;
    case PARCEL_SCRIPT:
        if (w->scheduler.now_us < w->replica_until_us)
            return read_only;
        for (unsigned i = 0; i < p->publish->topics_len; i++)
            if (is_key_denied(w, p->publish->topics[i]))
                return no_key;
        return w->script_is_known || p->backwards ? NULL : no_script;
    default:
        return NULL;
    }
}

/* ---- executing ---- */

static int compare(const struct event_id *id, const struct place *p) {
    if (id->ms != p->ms)
        return id->ms < p->ms ? -1 : 1;
    return id->seq < p->seq ? -1 : id->seq > p->seq;
}

static void read_log(struct world *w, struct parcel *p) {
    const struct topic_keys *k = &w->server.topics[p->topic];
    unsigned first = server_first(w, p->topic), last = k->len;
    while (first < last && compare(&w->events[k->events[last - 1]].id, &p->high) > 0)
        last--;
    unsigned low = first, high = last;
    while (low < high) { /* the first above p->low */
        unsigned middle = (low + high) / 2;
        if (compare(&w->events[k->events[middle]].id, &p->low) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    p->entries_len = last - low < p->count ? last - low : p->count;
    p->entries = arena_take(w, (p->entries_len + 1) * sizeof(*p->entries));
    for (unsigned i = 0; i < p->entries_len; i++)
        p->entries[i] = k->events[p->backwards ? last - 1 - i : low + i];
}

static void subscribe(struct link *l, struct parcel *p) {
    struct world *w = l->node->world;
    unsigned left = p->channels;
    for (uint8_t channel = 0; left != 0; channel++) {
        if ((left >> channel & 1) == 0)
            continue;
        left &= ~(1u << channel);
        struct parcel *confirm = left == 0 ? p : parcel_new(w, PARCEL_CONFIRM);
        confirm->unsubscribes = p->kind == PARCEL_UNSUBSCRIBE || p->unsubscribes;
        if (confirm->unsubscribes)
            l->channels &= ~(1u << channel);
        else
            l->channels |= 1u << channel;
        confirm->number = (uint64_t)__builtin_popcount(l->channels);
        confirm->topic = channel;
        if (left == 0)
            p->kind = PARCEL_CONFIRM;
        link_send(l, confirm);
    }
}

static void execute_publish(struct link *l, struct parcel *p) {
    struct world *w = l->node->world;
    struct parcel message = {.kind = PARCEL_MESSAGE,
                             .topic = p->topic,
                             .event = NO_EVENT,
                             .bytes = p->bytes,
                             .bytes_len = p->bytes_len};
    bool probe = p->topic == PROBE_CHANNEL;
    unsigned receivers = links_publish(w, p->topic, probe ? l->node : NULL, &message);
    if (probe && p->number == l->node->probe_nonce)
        l->node->probe_had_receiver = receivers > 0;
    if (p->topic < TOPICS_MAX)
        w->live_published[p->topic] = true;
    p->number = receivers;
}

static void execute_script(struct link *l, struct parcel *p) {
    struct world *w = l->node->world;
    p->published = arena_take(w, sizeof(*p->published));
    p->publish->denied = denied_channels(w);
    w->script_is_known = true;
    server_publish(w, p->publish, p->published);
    p->error = p->published->error;
    TRACE(w, "Redis: a script call of node %u: %u events, content %u", l->node->index,
          p->publish->events_len, p->publish->content);
}

void link_execute(struct link *l, struct parcel *p) {
    struct world *w = l->node->world;
    p->error = refusal(w, p);
    if (p->kind == PARCEL_SUBSCRIBE && p->error != NULL)
        l->node->refused_us = w->scheduler.now_us;
    if (p->error != NULL) {
        TRACE(w, "Redis: refuses a command of node %u: %s", l->node->index, p->error);
        link_send(l, p);
        return;
    }
    switch (p->kind) {
    case PARCEL_CLOCK:
        p->clock = arena_take(w, sizeof(*p->clock));
        *p->clock = w->server.clock;
        break;
    case PARCEL_LAST:
        p->event = server_last(w, p->topic);
        break;
    case PARCEL_LOG:
        read_log(w, p);
        break;
    case PARCEL_SCRIPT:
        execute_script(l, p);
        break;
    case PARCEL_LOAD:
        w->script_is_known = true;
        break;
    case PARCEL_NOTE: /* that keys went before their time; nobody reads it here */
        if (!w->keys_were_deleted)
            violate(w, "noted", "node %u notes that keys went before their time, and none did",
                    l->node->index);
        break;
    case PARCEL_INFO:
        p->number = w->server.run;
        p->backwards = w->scheduler.now_us < w->replica_until_us;
        break;
    case PARCEL_PUBLISH:
        execute_publish(l, p);
        break;
    case PARCEL_SUBSCRIBE:
    case PARCEL_UNSUBSCRIBE:
        subscribe(l, p);
        return;
    default:
        break;
    }
    record_read(w, p);
    link_send(l, p);
}
