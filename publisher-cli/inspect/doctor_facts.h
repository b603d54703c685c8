/* What `doctor` asks Redis, and the answers, without a judgement.
 *
 * A user may lack the right to any of it, and what answers may be no Redis: a fact that could not
 * be had says why, and is never a failure of its own. */
#ifndef PUBLISHER_CLI_INSPECT_DOCTOR_FACTS_H
#define PUBLISHER_CLI_INSPECT_DOCTOR_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "publisher-cli/inspect/ask.h"
#include "publisher-cli/inspect/doctor_rights.h"
#include "publisher-cli/inspect/domain.h"

/* A text from Redis, or why there is none; both NULL: it was not asked. */
struct fact {
    char *text;
    char *refusal;
};

/* What CONFIG GET is asked for. */
enum setting {
    SETTING_APPENDFSYNC,
    SETTING_LOAD_TRUNCATED,
    SETTING_SAVE,
    SETTING_STOP_WRITES,
    SETTING_OUTPUT_BUFFER,
    SETTING_MAXCLIENTS,
    SETTING_TIMEOUT,
    SETTING_KEEPALIVE,
    SETTING_BACKLOG,
    SETTING_MIN_REPLICAS,
    SETTING_NODE_ENTRIES,
    SETTING_NODE_BYTES,
    SETTING_SCRIPT_LIMIT, /* busy-reply-threshold, before Redis 7 lua-time-limit */
    SETTINGS
};

enum { MASTERS_MAX = 32 };

/* What a Sentinel says of a master that it watches. */
struct sentinel_master {
    char *name, *ip, *port, *flags, *replicas, *sentinels, *quorum; /* "" where it is not told */
    struct fact ckquorum;
};

struct facts {
    const char *prefix, *address; /* borrowed */
    const char *user;             /* that we are; borrowed */
    unsigned db;
    struct fact whoami;
    struct fact info;
    struct fact settings[SETTINGS];
    struct fact cluster; /* CLUSTER INFO */
    struct fact home;    /* of a cluster's node: a key of the domain; the refusal says who has it */

    uint64_t ping_us; /* the fastest of several round trips */
    struct fact time; /* refusal only */
    int64_t skew_ms;  /* by which the clock of Redis is ahead of ours */
    uint64_t skew_within_ms;
    uint64_t redis_ms;

    struct fact clock; /* refusal only */
    struct domain domain;
    struct right_result rights[RIGHTS_MAX];

    struct fact keys; /* refusal only */
    uint64_t keys_ours, keys_wrong, keys_foreign;
    bool is_keys_cut;             /* there are more than were looked at */
    char *wrong_key, *wrong_type; /* the first of keys_wrong */

    struct sentinel_master masters[MASTERS_MAX];
    size_t masters_len;
    struct fact sentinel; /* refusal only */
};

/* The name of a setting in redis.conf. Static storage. */
const char *setting_name(enum setting setting);

/* Ask for all there is. Returns RELAY_OK, or a->status where the connection was lost. @out is to be
 * ended with facts_fini() in both cases. */
int facts_collect(struct facts *out, struct ask *a, const struct options *o);
void facts_fini(struct facts *f);

/* The value of INFO, cut to fit; "" where it is not told. And as a number. */
void facts_info(const struct facts *f, const char *name, char value[64]);
bool facts_number(const struct facts *f, const char *name, uint64_t *out);

/* Whether it calls itself a Sentinel. */
bool facts_is_sentinel(const struct facts *f);

#endif
