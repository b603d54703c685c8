/* Reading the arguments; see options.h. */
#include "publisher-cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/quantity.h"
#include "relay/base/utf8.h"
#include "relay/wire/names.h"
#include "relay/wire/publish.h"
#include "relay/wire/topic.h"

enum {
    EVERY_MIN_MS = 1,
    EVERY_MAX_MS = 24 * 3600 * 1000,
    CLOCK_EVERY_MS = 1000,
    LETTERS_EVERY_MS = 500
};
enum { ENDLESS_HISTORY = 100, REPLICAS_MAX = 100, LINE_DIGITS = 20 };
enum { POSITIONALS_MAX = 3 };

static const char default_redis_url[] = "redis://127.0.0.1:6379";

/* The arguments as they were written, before they are given a meaning. */
struct arguments {
    const char *words[POSITIONALS_MAX]; /* those that are no options */
    int count;                          /* of all, also of those that found no room */
    bool has_command;                   /* the first word stood before a -- and may be a command */
    const char *event, *retry, *redis, *prefix, *every, *history, *ttl, *key, *wait_replicas;
    bool is_lines, is_live, is_quiet, is_help, is_version;
};

/* An option sets a flag, or takes a value. */
struct option {
    const char *name;
    char letter;  /* 0: no short form */
    size_t field; /* offset of the bool or of the text in struct arguments */
    bool takes_value;
};

static const struct option options[] = {
    {"event", 0, offsetof(struct arguments, event), true},
    {"retry", 0, offsetof(struct arguments, retry), true},
    {"redis", 0, offsetof(struct arguments, redis), true},
    {"prefix", 0, offsetof(struct arguments, prefix), true},
    {"every", 0, offsetof(struct arguments, every), true},
    {"history", 0, offsetof(struct arguments, history), true},
    {"ttl", 0, offsetof(struct arguments, ttl), true},
    {"key", 0, offsetof(struct arguments, key), true},
    {"wait-replicas", 0, offsetof(struct arguments, wait_replicas), true},
    {"lines", 0, offsetof(struct arguments, is_lines), false},
    {"live", 0, offsetof(struct arguments, is_live), false},
    {"quiet", 'q', offsetof(struct arguments, is_quiet), false},
    {"help", 'h', offsetof(struct arguments, is_help), false},
    {"version", 0, offsetof(struct arguments, is_version), false},
};

static int refuse(struct buf *why, const char *sentence) {
    buf_puts(why, sentence);
    return RELAY_EINVAL;
}

/* @what "text", or @what alone where the text would do something to a terminal. */
static void put_named(struct buf *why, const char *what, const char *text, size_t len) {
    buf_puts(why, what);
    if (utf8_valid(text, len) && !utf8_has_control(text, len) && len <= TOPIC_MAX_BYTES) {
        buf_putc(why, ' ');
        buf_put_json(why, text, len);
    }
}

static int refuse_named(struct buf *why, const char *what, const char *text, const char *wrong) {
    put_named(why, what, text, strlen(text));
    buf_printf(why, " %s", wrong);
    return RELAY_EINVAL;
}

/* The option that @argument names; its own value, behind =, goes to *@value. */
static const struct option *find_option(const char *argument, const char **value) {
    *value = NULL;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const struct option *o = &options[i];
        if (argument[1] != '-') {
            if (argument[1] == o->letter && argument[2] == '\0')
                return o;
            continue;
        }
        const char *name = argument + 2;
        size_t len = strlen(o->name);
        if (strncmp(name, o->name, len) != 0 || (name[len] != '\0' && name[len] != '='))
            continue;
        if (name[len] == '=')
            *value = name + len + 1;
        return o;
    }
    return NULL;
}

static int put_option(struct arguments *a, const struct option *o, const char *value,
                      struct buf *why) {
    void *field = (char *)a + o->field;
    if (o->takes_value && value == NULL) {
        buf_printf(why, "--%s needs a value behind it", o->name);
        return RELAY_EINVAL;
    }
    if (!o->takes_value && value != NULL) {
        buf_printf(why, "--%s takes no value", o->name);
        return RELAY_EINVAL;
    }
    if (o->takes_value)
        *(const char **)field = value;
    else
        *(bool *)field = true;
    return RELAY_OK;
}

static void put_word(struct arguments *a, const char *word) {
    if (a->count < POSITIONALS_MAX)
        a->words[a->count] = word;
    a->count++;
}

static int collect(struct arguments *a, int argc, char **argv, struct buf *why) {
    bool only_words = false; /* a -- came */
    int status = RELAY_OK;
    for (int i = 1; i < argc && status == RELAY_OK; i++) {
        const char *argument = argv[i], *value;
        if (only_words || argument[0] != '-' || argument[1] == '\0') {
            a->has_command = a->has_command || (a->count == 0 && !only_words);
            put_word(a, argument);
            continue;
        }
        if (strcmp(argument, "--") == 0) {
            only_words = true;
            continue;
        }
        const struct option *o = find_option(argument, &value);
        if (o == NULL) {
            size_t len = strcspn(argument, "="); /* what is behind may be a secret */
            put_named(why, "there is no option", argument, len);
            return refuse(why, "; data that begins with - goes behind --");
        }
        if (o->takes_value && value == NULL && i + 1 < argc)
            value = argv[++i];
        status = put_option(a, o, value, why);
    }
    return status;
}

/* A number with one of @units behind it, from @min to @max. */
static bool read_quantity(const char *text, const struct unit *units, uint64_t min, uint64_t max,
                          uint64_t *out) {
    uint64_t value;
    if (quantity_parse(text, units, &value) != NULL || value < min || value > max)
        return false;
    *out = value;
    return true;
}

/* @text as milliseconds from @min to @max; the sentence is that of the relay's own options. */
static int read_time(const char *option, const char *text, uint64_t min, uint64_t max,
                     const char *allowed, uint64_t *ms, struct buf *why) {
    const char *wrong = quantity_parse(text, quantity_time, ms);
    if (wrong == NULL && *ms >= min && *ms <= max)
        return RELAY_OK;
    refuse_named(why, option, text, wrong != NULL ? wrong : "is out of range");
    buf_printf(why, "; allowed: %s", allowed);
    return RELAY_EINVAL;
}

static int read_retry(struct options *o, const char *text, struct buf *why) {
    uint64_t ms = 0;
    int status = read_time("--retry", text, RETRY_MIN_MS, RETRY_MAX_MS, "100ms to 1h", &ms, why);
    o->retry_ms = status == RELAY_OK ? (uint32_t)ms : 0;
    return status;
}

static int read_every(struct options *o, const char *text, struct buf *why) {
    if (o->command != COMMAND_CLOCK && o->command != COMMAND_LETTERS)
        return refuse(why, "--every is for clock and letters");
    return read_time("--every", text, EVERY_MIN_MS, EVERY_MAX_MS, "1ms to 24h", &o->every_ms, why);
}

/* The command, if there is one, and the words behind it. */
static int read_words(struct options *o, const struct arguments *a, struct buf *why) {
    const char *const *words = a->words;
    int count = a->count;
    bool is_clock = a->has_command && strcmp(words[0], "clock") == 0;
    bool is_letters = a->has_command && strcmp(words[0], "letters") == 0;
    if (is_clock || is_letters) {
        o->command = is_clock ? COMMAND_CLOCK : COMMAND_LETTERS;
        o->every_ms = is_clock ? CLOCK_EVERY_MS : LETTERS_EVERY_MS;
        o->topic = count > 1 ? words[1] : is_clock ? "time" : "letters";
        if (count > 2)
            return refuse(why, "clock and letters make their data themselves: give a topic alone");
        if (a->is_lines)
            return refuse(why, "--lines does not go with clock and letters");
        return RELAY_OK;
    }
    if (count == 0)
        return refuse(why, "there is no topic: sse-publish TOPIC [DATA]");
    if (count > 2)
        return refuse(why, "there are too many arguments: data with spaces needs quotes");
    o->command = a->is_lines ? COMMAND_LINES : COMMAND_EVENT;
    o->topic = words[0];
    o->data = count == 2 && strcmp(words[1], "-") != 0 ? words[1] : NULL;
    if (a->is_lines && o->data != NULL)
        return refuse(why, "--lines reads standard input: give a topic alone");
    return RELAY_OK;
}

/* With lines, the number of each stands behind the key. */
static int read_key(struct options *o, const char *key, struct buf *why) {
    size_t len = strlen(key);
    if (o->command == COMMAND_CLOCK || o->command == COMMAND_LETTERS)
        return refuse(why, "--key does not go with clock and letters");
    const char *wrong = publish_key_check(key, len);
    if (wrong == NULL && o->command == COMMAND_LINES && len > PUBLISH_KEY_MAX_BYTES - LINE_DIGITS)
        wrong = "is longer than 236 bytes, which leave room for the number of a line";
    if (wrong != NULL)
        return refuse_named(why, "--key", key, wrong);
    o->key = key;
    return RELAY_OK;
}

/* What durable events are kept with. */
static int read_durable(struct options *o, const struct arguments *a, struct buf *why) {
    uint64_t replicas = 0;
    bool is_endless = o->command == COMMAND_CLOCK || o->command == COMMAND_LETTERS;
    o->is_live = a->is_live;
    if (o->is_live) {
        if (a->history == NULL && a->ttl == NULL && a->key == NULL && a->wait_replicas == NULL)
            return RELAY_OK;
        return refuse(why, "--live events are not stored: --history, --ttl, --key and "
                           "--wait-replicas do not go with them");
    }
    o->history = is_endless ? ENDLESS_HISTORY : PUBLISH_HISTORY_DEFAULT;
    o->ttl_ms = PUBLISH_TTL_DEFAULT_MS;
    if (a->history != NULL &&
        !read_quantity(a->history, quantity_plain, 1, PUBLISH_HISTORY_MAX, &o->history))
        return refuse_named(why, "--history", a->history, "is no number from 1 to 10000000");
    if (a->ttl != NULL &&
        !read_quantity(a->ttl, quantity_time, PUBLISH_TTL_MIN_MS, INT64_MAX / 4, &o->ttl_ms))
        return refuse_named(why, "--ttl", a->ttl, "is no time of 1s or more");
    if (a->wait_replicas != NULL &&
        !read_quantity(a->wait_replicas, quantity_plain, 1, REPLICAS_MAX, &replicas))
        return refuse_named(why, "--wait-replicas", a->wait_replicas, "is no number from 1 to 100");
    o->wait_replicas = (unsigned)replicas;
    return a->key != NULL ? read_key(o, a->key, why) : RELAY_OK;
}

/* Names and data, by the rules that bind every publisher. */
static int check_event(const struct options *o, struct buf *why) {
    const char *wrong = topic_check(o->topic, strlen(o->topic));
    if (wrong != NULL)
        return refuse_named(why, "the topic", o->topic, wrong);
    wrong = o->event == NULL ? NULL : event_name_check(o->event, strlen(o->event));
    if (wrong != NULL)
        return refuse_named(why, "the event name", o->event, wrong);
    wrong = names_prefix_check(o->prefix);
    if (wrong != NULL)
        return refuse_named(why, "the prefix", o->prefix, wrong);
    wrong = o->data == NULL ? NULL : data_check(o->data, strlen(o->data));
    if (wrong != NULL) {
        buf_printf(why, "DATA %s", wrong);
        return RELAY_EINVAL;
    }
    return RELAY_OK;
}

/* The URL is not repeated: it may hold a password. */
static int read_redis(struct options *o, const char *option, const char *environment,
                      struct buf *why) {
    const char *wrong;
    bool is_set = environment != NULL && *environment != '\0';
    const char *text = option != NULL ? option : is_set ? environment : default_redis_url;
    if (redis_url_parse(text, &o->redis, &wrong) == RELAY_OK)
        return RELAY_OK;
    buf_printf(why, "%s %s; an example is %s", option != NULL ? "--redis" : "REDIS_URL", wrong,
               default_redis_url);
    return RELAY_EINVAL;
}

int options_read(struct options *out, int argc, char **argv, const char *redis_url,
                 struct buf *why) {
    struct arguments a = {.count = 0};
    struct options o = {.command = COMMAND_HELP};
    int status = collect(&a, argc, argv, why);
    if (status == RELAY_OK && (a.is_help || a.is_version)) {
        *out = o;
        out->command = a.is_help ? COMMAND_HELP : COMMAND_VERSION;
        return RELAY_OK;
    }
    if (status == RELAY_OK)
        status = read_words(&o, &a, why);
    o.event = a.event;
    o.prefix = a.prefix != NULL ? a.prefix : "sse";
    o.is_quiet = a.is_quiet;
    if (status == RELAY_OK && a.retry != NULL)
        status = read_retry(&o, a.retry, why);
    if (status == RELAY_OK && a.every != NULL)
        status = read_every(&o, a.every, why);
    if (status == RELAY_OK)
        status = read_durable(&o, &a, why);
    if (status == RELAY_OK)
        status = check_event(&o, why);
    if (status == RELAY_OK)
        status = read_redis(&o, a.redis, redis_url, why);
    if (status == RELAY_OK)
        *out = o;
    return status;
}

void options_fini(struct options *o) {
    redis_url_fini(&o->redis);
}

const char *options_help(void) {
    return "Publishes events through Redis to every client of every relay.\n"
           "\n"
           "  sse-publish [OPTIONS] TOPIC [DATA]     one event; data from standard input\n"
           "                                         without DATA, or where it is -\n"
           "  sse-publish [OPTIONS] --lines TOPIC    one event for each line of standard input\n"
           "  sse-publish [OPTIONS] clock [TOPIC]    the time (UTC), every second, into \"time\"\n"
           "  sse-publish [OPTIONS] letters [TOPIC]  random letters, twice a second, into "
           "\"letters\"\n"
           "\n"
           "  --event NAME    the event's name; none makes it a \"message\" in EventSource\n"
           "  --retry TIME    how long a client waits before it reconnects: 100ms to 1h\n"
           "  --history N     how many events of the topic are kept for clients that come back:\n"
           "                  1000 by default, 100 for clock and letters\n"
           "  --ttl TIME      for how long they are kept; 1h by default, at most 7d unless the\n"
           "                  relays were told otherwise\n"
           "  --key KEY       publishing again with the same key within 5 minutes is no second\n"
           "                  event; with --lines, line n has the key KEY:n\n"
           "  --wait-replicas N  an event is published once N replicas of Redis have it\n"
           "  --live          do not store the event: who is not connected misses it\n"
           "  --redis URL     redis://[[user]:password@]host[:port][/db] or unix:/path; by\n"
           "                  default $REDIS_URL (which keeps a password out of the list of\n"
           "                  processes), else redis://127.0.0.1:6379\n"
           "  --prefix NAME   what the relays were given as --prefix; sse by default\n"
           "  --every TIME    the pace of clock and letters: 1ms to 24h\n"
           "  -q, --quiet     do not say what was published\n"
           "  --              what follows is no option and no command\n"
           "  -h, --help      print this; --version prints the version\n"
           "\n"
           "TIME is a number with its unit: ms, s, m, h or d.\n"
           "Of all of standard input as one event, one line end at the end is not data.\n"
           "\n"
           "Exit codes: 0 Redis has it; 1 Redis or its replicas do not; 2 wrong use or data that "
           "cannot be an\n"
           "event; 3 Redis cannot be reached, or was lost before it answered.\n";
}
