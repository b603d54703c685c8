/* Publishing durable events: the one script, what it is called with, and what it says (design:
 * "Publishing durable events is one script, one round trip").
 *
 * This is text and bytes only: whoever has a connection sends publish_command's arguments and hands
 * Redis's words back. The script keeps the domain's clock, appends each event to its topic's log
 * linked to the one before it, and publishes it on the topic's channel, one event or many; it
 * checks all it can before its first write, since scripts do not roll back. Called with no topics
 * it only makes sure that the clock exists and belongs to this run of Redis.
 *
 * Sending: SCRIPT LOAD publish_script() once per connection and give the hash that it answers to
 * publish_command_use_sha(); on PUBLISH_NOSCRIPT (SCRIPT FLUSH, a restart), send the command once
 * more after publish_command_use_text(), which makes Redis remember it again. Pure; any thread. */
#ifndef RELAY_WIRE_PUBLISH_SCRIPT_H
#define RELAY_WIRE_PUBLISH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/wire/envelope.h"

enum {
    PUBLISH_HISTORY_DEFAULT = 1000,
    PUBLISH_HISTORY_MAX = 10 * 1000 * 1000,
    PUBLISH_TTL_DEFAULT_MS = 3600 * 1000,
    PUBLISH_TTL_MIN_MS = 1000,
    PUBLISH_MEMORY_DEFAULT_MS = 7 * 24 * 3600 * 1000,
    PUBLISH_KEY_TTL_DEFAULT_MS = 5 * 60 * 1000,
    PUBLISH_KEY_MAX_BYTES = 256,
    PUBLISH_ITEMS_MAX = 256, /* keeps Redis from others for a millisecond or two */
    PUBLISH_ITEMS_MAX_BYTES = 256 * 1024,
    PUBLISH_SHA_BYTES = 40
};

struct publish_topic {
    const char *name;
    size_t len;
};

/* One event of many in one call. */
struct publish_item {
    size_t topic;       /* which one of the request's topics */
    struct event event; /* checked */
};

/* One publish. Everything is borrowed, and may go once the command is made. What was left 0 or NULL
 * has the default. */
struct publish_request {
    const char *prefix;
    const char *tag;                    /* of the domain; NULL is "0" */
    const struct publish_topic *topics; /* each one passed topic_check(); each one named once */
    size_t topics_count;                /* 0: the clock alone; event and key play no part then */
    struct event event;                 /* checked; each topic gets it with an id of its own */
    const struct publish_item *items; /* NULL: event; else these instead of it, in this order, each
                                         with an id of its own */
    size_t items_count; /* up to PUBLISH_ITEMS_MAX, of PUBLISH_ITEMS_MAX_BYTES in all unless it is
                           one: more at once is more than a subscriber's buffer in Redis may hold */
    uint64_t history;   /* how many events the log keeps, to PUBLISH_HISTORY_MAX; or a few more */
    uint64_t ttl_ms;    /* how long; at most the domain's memory */
    const char *key;    /* makes a retry harmless; passed publish_key_check(); NULL: none */
    size_t key_len;
    uint64_t key_ttl_ms;
    uint64_t memory_ms; /* of a domain that is new; an older one keeps what it was born with */
    const char *run_id; /* of the Redis process at the other end (INFO server), once per connection;
                           the script asks it itself where this differs from the clock's */
    const char *birth;  /* a random word for a clock that is new, as in relay/wire/id.h */
};

/* Arguments for one command, ready to be sent: those of EVAL at first. */
struct publish_command {
    int argc;
    const char **argv;
    size_t *argv_len;
    void *memory; /* private */
};

/* NULL when @key may be one (1 to 256 bytes of UTF-8 without control characters), or what is wrong,
 * as topic_check(). */
const char *publish_key_check(const char *key, size_t len);

/* Make the command of @request; end with publish_command_fini(). */
void publish_command_init(struct publish_command *c, const struct publish_request *request);

/* Make it an EVALSHA with @sha, PUBLISH_SHA_BYTES long (borrowed until it is sent); and an EVAL
 * again. */
void publish_command_use_sha(struct publish_command *c, const char *sha);
void publish_command_use_text(struct publish_command *c);

void publish_command_fini(struct publish_command *c);

/* The script's text, for SCRIPT LOAD. Static storage. */
const char *publish_script(size_t *len);

/* What the script said: one bulk string, `<announced> <duplicate> <id> <id> …`. */
struct publish_answer {
    bool announced; /* else the channels could not be published on (an ACL): stored, and subscribers
                       learn of it with the next event that is announced */
    bool duplicate; /* of the same key: these are the ids of the first time, nothing was done now */
    size_t ids_count; /* one per item, else one per topic, in their order; with no topics, one: the
                         clock's position */
    const char *ids;  /* their texts with one space between them, borrowed from the answer */
    size_t ids_len;
};

/* Read an answer. Every id passes id_parse().
 *
 * Returns RELAY_OK, or RELAY_EPROTO: these are not the script's words; *@out is unchanged. */
int publish_answer_parse(const char *text, size_t len, struct publish_answer *out);

/* Take the next id off @a->ids: its text and length. False when none is left. */
bool publish_answer_next(struct publish_answer *a, const char **id, size_t *len);

/* Why Redis or the script refused. */
enum publish_error {
    PUBLISH_NOSCRIPT,  /* not an error: send the text */
    PUBLISH_CONFLICT,  /* the key was used for another publish: 409 */
    PUBLISH_TTL,       /* above the domain's memory: 400 */
    PUBLISH_EVENT,     /* no relay would deliver it: 400 */
    PUBLISH_WRONGTYPE, /* a key of ours holds something else */
    PUBLISH_FULL,      /* out of memory */
    PUBLISH_READONLY,  /* a replica */
    PUBLISH_DENIED,    /* an ACL */
    PUBLISH_UNSAVED,   /* Redis cannot write to its disk, or has too few replicas, and so refuses */
    PUBLISH_UNAVAILABLE, /* loading, busy, without a master: later */
    PUBLISH_OTHER
};

/* Classify the text of an error reply, of Redis 6.2 as well as of later ones. Nothing was stored,
 * where it is known; it may have been in the case of PUBLISH_OTHER, and of a user whose rights
 * cover XADD but not the rest of what the script calls. */
enum publish_error publish_error_kind(const char *text);

/* A sentence for the publisher without a full stop: what is wrong and what to do. Static storage;
 * of PUBLISH_OTHER too, where Redis's own words say more. */
const char *publish_error_text(enum publish_error kind);

#endif
