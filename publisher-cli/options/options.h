/* What sse-publish was asked to do, from its arguments.
 *
 * Everything that can be refused without Redis and without reading input is refused here: options
 * that do not exist, that the command does not take or that do not go together, names that the
 * rules of relay/wire/topic.h do not allow, a URL that is none. Pure: the environment is passed in.
 * What there is to be given stands in table.h. */
#ifndef PUBLISHER_CLI_OPTIONS_OPTIONS_H
#define PUBLISHER_CLI_OPTIONS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/options/completion.h"
#include "relay/redis/url.h"

enum command {
    COMMAND_PUBLISH,     /* what is given, or read */
    COMMAND_TAIL,        /* watch a relay */
    COMMAND_HISTORY,     /* read a topic's log */
    COMMAND_TOPICS,      /* list the topics that have a log */
    COMMAND_CLOCK,       /* the time, again and again */
    COMMAND_LETTERS,     /* random letters, again and again */
    COMMAND_REPLAY,      /* a recorded stream with its timing */
    COMMAND_SUBSCRIBERS, /* ask the relays how many a topic has */
    COMMAND_RM,          /* delete topics' logs */
    COMMAND_KICK,        /* end streams, and bar whose they were */
    COMMAND_TOKEN,       /* make one, or look at one */
    COMMAND_DOCTOR,      /* look at Redis */
    COMMAND_HELP,
    COMMAND_VERSION,
    COMMAND_GENERATE /* a file for an installation */
};

enum input_kind {
    INPUT_WHOLE, /* one event: `data`, or all of standard input */
    INPUT_LINES, /* each line is the data of one event */
    INPUT_NDJSON /* each line is an object that describes one */
};

enum output {
    OUTPUT_TEXT,
    OUTPUT_JSON /* one object a line */
};

enum on_error { ON_ERROR_STOP, ON_ERROR_SKIP };

/* What an option that may be given again and again was given. */
struct texts {
    const char **all;
    size_t count;
};

/* The texts are borrowed from the arguments and the environment. What a command does not take has
 * its default, or is 0 or NULL. */
struct options {
    enum command command;
    enum command help_on;     /* of COMMAND_HELP: the command; itself: all of them */
    enum generated generated; /* of COMMAND_GENERATE */

    const char **topics; /* in the order they were given, each once */
    size_t topics_count;
    const char
        *suggested_command; /* which the first word, taken as the topic, is much like; or NULL */
    const char *data;       /* NULL: standard input */
    bool is_empty;          /* --empty: `data` is "" */
    bool may_be_empty;      /* `-` was given: empty standard input is an event, too */
    const char **files;     /* "-" is standard input */
    size_t files_count;     /* 0: standard input */
    enum input_kind input;

    const char *event; /* NULL: none */
    uint32_t retry_ms; /* 0: none */
    bool is_json;      /* the data must be JSON; or what is printed is */

    bool is_live;           /* pub/sub only; what follows is 0 or NULL then */
    uint64_t history;       /* events that the topic's log keeps */
    uint64_t ttl_ms;        /* for how long */
    const char *key;        /* of idempotency; NULL: none */
    unsigned wait_replicas; /* that must have an event; 0: none */

    double rate;          /* events a second; 0: as many as can be */
    uint64_t count;       /* of events; 0: as many as there are */
    uint64_t repeat;      /* how often the input is published; 1 is once */
    uint64_t resume_from; /* the event that is published first, from 1; 0: all of them */
    enum on_error on_error;
    uint64_t every_ms; /* of clock and letters */
    double speed;      /* of replay; 1 is that of the recording */

    const char *since; /* "10m", or milliseconds since 1970; NULL: not given */
    uint64_t last;     /* events; 0: not given */

    struct redis_url redis;
    const char *prefix;
    const char *url;      /* of a relay */
    const char *token;    /* for it; NULL: none */
    struct texts headers; /* for it: "Name: value", or "@" and the file that holds such lines */
    struct texts cookies; /* for it: "name=value", or the file that holds some */
    uint64_t timeout_ms;  /* how long what cannot be reached is tried again */

    /* Of token. */
    bool is_show;
    const char *secret_file, *key_file; /* paths; at most one of them is given */
    const char *header_file;            /* where the token goes; NULL: standard output */
    const char *subject, *issuer, *audience, *kid;
    const char *claim;                       /* where the topics stand */
    struct texts may_subscribe, may_publish; /* patterns */
    uint64_t expires_ms;

    /* Of kick, with subject or a topic. */
    const char *token_id;
    uint64_t bar_ms; /* 0: none */
    bool is_lift, is_list;

    bool is_quiet; /* say nothing on standard output */
    enum output output;
};

/* The environment: getenv(), or a test's own. */
typedef const char *(*options_env)(const char *name);

/* Read the arguments; @argv[0] is skipped.
 *
 * Returns RELAY_OK (end with options_fini()), or RELAY_EINVAL and a sentence in @why, which holds
 * no secret; *@out is unchanged. */
int options_read(struct options *out, int argc, char **argv, options_env env, struct buf *why);
void options_fini(struct options *o);

#endif
