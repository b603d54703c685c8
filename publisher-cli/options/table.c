/* The table of options, and finding a row of it; see table.h. Reading values is value.c. */
#include "publisher-cli/options/table.h"

#include <string.h>

#include "publisher-cli/base/header.h"
#include "relay/auth/pattern.h"
#include "relay/base/quantity.h"
#include "relay/options/suggest.h"
#include "relay/wire/kick.h"
#include "relay/wire/names.h"
#include "relay/wire/publish_script.h"
#include "relay/wire/topic.h"

#define SECOND UINT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define MANY UINT64_C(1000000000000)

/* Who takes an option. */
#define PUBLISH TAKEN_BY(COMMAND_PUBLISH)
#define TAIL TAKEN_BY(COMMAND_TAIL)
#define HISTORY TAKEN_BY(COMMAND_HISTORY)
#define TOPICS TAKEN_BY(COMMAND_TOPICS)
#define TICKS (TAKEN_BY(COMMAND_CLOCK) | TAKEN_BY(COMMAND_LETTERS))
#define REPLAY TAKEN_BY(COMMAND_REPLAY)
#define DOCTOR TAKEN_BY(COMMAND_DOCTOR)
#define SUBSCRIBERS TAKEN_BY(COMMAND_SUBSCRIBERS)
#define RM TAKEN_BY(COMMAND_RM)
#define KICK TAKEN_BY(COMMAND_KICK)
#define TOKEN TAKEN_BY(COMMAND_TOKEN)
#define PUBLISHERS (PUBLISH | TICKS | REPLAY)
#define READERS (TAIL | HISTORY | TOPICS | SUBSCRIBERS | RM | KICK | DOCTOR)
#define ON_REDIS (PUBLISHERS | HISTORY | TOPICS | SUBSCRIBERS | RM | KICK | DOCTOR)
#define ALL (PUBLISHERS | READERS | TOKEN | TAKEN_BY(COMMAND_HELP))

#define FIELD(member)                                                                              \
    .offset = offsetof(struct options, member), .size = sizeof(((struct options *)NULL)->member)
#define FLAG(member) .kind = OPTION_FLAG, FIELD(member)
#define TEXT(member, word) .kind = OPTION_TEXT, FIELD(member), .value = word
#define TEXTS(member, word) .kind = OPTION_TEXTS, FIELD(member), .value = word
#define NUMBER(member, least, most, words)                                                         \
    .kind = OPTION_NUMBER, FIELD(member), .value = "N", .min = least, .max = most, .allowed = words
#define TIME(member, least, most, words)                                                           \
    .kind = OPTION_TIME, FIELD(member), .value = "TIME", .min = least, .max = most, .allowed = words
#define CHOICE(member, texts, word, words)                                                         \
    .kind = OPTION_CHOICE, FIELD(member), .value = word, .choices = texts, .allowed = words
#define INPUT(which) .kind = OPTION_INPUT, .min = which, FIELD(input)
#define ACTION(which) .kind = OPTION_ACTION, .min = which, FIELD(command)

/* In the order of their enums in options.h. */
static const char *const outputs[] = {"text", "json", NULL};
static const char *const generates[] = {GENERATED_WORDS, NULL};
static const char *const on_errors[] = {"stop", "skip", NULL};

static const char *check_event(const char *text) {
    return event_name_check(text, strlen(text));
}

static const char *check_key(const char *text) {
    return publish_key_check(text, strlen(text));
}

static const char *check_url(const char *text) {
    bool has_scheme = strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
    return has_scheme ? NULL : "does not begin with http:// or https://";
}

static const char *check_since(const char *text) {
    uint64_t ms;
    return quantity_parse(text, quantity_time_ms, &ms);
}

static const char *check_token(const char *text) {
    for (const char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            return "holds something other than printable ASCII without spaces";
    return *text == '\0' ? "is empty" : NULL;
}

static const char *check_header(const char *text) {
    if (text[0] == '@')
        return text[1] == '\0' ? "names no file behind the @" : NULL;
    return header_check(text, strlen(text));
}

static const char *check_cookie(const char *text) {
    return text[0] == '\0' ? "is empty" : header_value_check(text, strlen(text));
}

static const char *check_pattern(const char *text) {
    return pattern_check(text, strlen(text));
}

static const char *check_filled(const char *text) {
    return text[0] == '\0' ? "is empty" : NULL;
}

static const char *check_subject(const char *text) {
    return kick_name_check(KICK_SUBJECT, text, strlen(text));
}

static const char *check_token_id(const char *text) {
    const char *dot = strchr(text, '.');
    if (strncmp(text, "eyJ", 3) == 0 && dot != NULL && strchr(dot + 1, '.') != NULL)
        return "is a whole token; its name is its claim `jti`, which `sse-publish token --show` "
               "prints";
    return kick_name_check(KICK_TOKEN, text, strlen(text));
}

static const struct option_row rows[] = {
    {.group = "Topic and event",
     .name = "topic",
     .letter = 't',
     .kind = OPTION_TOPIC,
     .value = "TOPIC",
     .commands = PUBLISHERS | TAIL | SUBSCRIBERS | RM | KICK,
     .help = "a topic; repeatable",
     .more = "Each topic gets an event with an id of its own, all of them in one step. A word that "
             "would be taken for a command is a topic here. A topic is 1 to 256 bytes of UTF-8 "
             "without control characters, `*`, `{` and `}`; those that begin with `relay.` are the "
             "relay's own.",
     .is_common = true},
    {.name = "event",
     TEXT(event, "NAME"),
     .check = check_event,
     .commands = PUBLISHERS,
     .help = "the name of the event; without it, \"message\"",
     .more = "Up to 128 bytes; `error`, `open` and what begins with `relay.` are not allowed. With "
             "`--ndjson`, of the lines that name none.",
     .is_common = true},
    {.name = "retry",
     TIME(retry_ms, RETRY_MIN_MS, RETRY_MAX_MS, "100ms to 1h"),
     .commands = PUBLISHERS,
     .help = "clients wait this long before they reconnect",
     .more = "Sent with the event; every EventSource that gets it keeps to it."},
    {.name = "json",
     FLAG(is_json),
     .commands = PUBLISH,
     .help = "refuse data that is not JSON; publish it compact"},
    {.name = "empty",
     FLAG(is_empty),
     .commands = PUBLISH,
     .help = "publish an event with empty data",
     .more =
         "Nothing is read. Without it, empty standard input publishes nothing and ends with 2, "
         "unless `-` asks for standard input whatever it holds: a command in cron that lacks its "
         "data would publish an event that nobody meant."},

    {.group = "How it is kept",
     .name = "live",
     FLAG(is_live),
     .commands = PUBLISHERS,
     .help = "do not store it: clients that are away miss it",
     .more = "Pub/sub alone: cheaper, and without an id. A lost connection can publish such an "
             "event twice.",
     .is_common = true},
    {.name = "history",
     NUMBER(history, 1, PUBLISH_HISTORY_MAX, "1 to 10000000"),
     .fallback = "1000",
     .commands = PUBLISHERS,
     .help = "events that the topic keeps, and up to 100 more",
     .more =
         "At least so many, and up to about a hundred more: Redis trims a log a hundred entries "
         "at a time, which costs it nothing. 100 for `clock` and `letters`. It holds for the "
         "whole log at each publish, so give one topic the same value always."},
    {.name = "ttl",
     TIME(ttl_ms, PUBLISH_TTL_MIN_MS, 36500 * DAY, "1s or more"),
     .fallback = "1h",
     .commands = PUBLISHERS,
     .help = "how long the topic keeps them",
     .more = "Of the last event; at most what the relays were given as `--memory`, 7 days."},
    {.name = "key",
     TEXT(key, "KEY"),
     .check = check_key,
     .commands = PUBLISH,
     .help = "sent twice with the same key, it is one event",
     .more = "Within 5 minutes the same key with the same event is the same event; with another "
             "one it is refused. With `--lines` and `--ndjson`, event n has the key `KEY:n` where "
             "it brings none, so that the whole input can be sent again.",
     .is_common = true},
    {.name = "wait-replicas",
     NUMBER(wait_replicas, 1, 100, "1 to 100"),
     .commands = PUBLISHERS,
     .help = "wait until N replicas of Redis have it, up to 3 s",
     .more = "Redis replicates asynchronously: a master that dies can take with it what it "
             "acknowledged. Where N replicas do not have it within 3 s, the event is stored all "
             "the same, and the exit code is 1."},

    {.group = "Many events",
     .name = "lines",
     INPUT(INPUT_LINES),
     .commands = PUBLISH,
     .help = "each line of the input is the data of an event",
     .more = "A line ends in LF or CRLF; an empty one is an event with empty data. Lines go to "
             "Redis many at a time, and are published in "
             "their order.",
     .is_common = true},
    {.name = "ndjson",
     INPUT(INPUT_NDJSON),
     .commands = PUBLISH,
     .help = "each line is an object: topic, event, data, ...",
     .more = "Its members are `topic` (or `topics`, an array), `data` (a string; any other JSON is "
             "published as its compact text), `event`, `key`, `retry`, `history`, `ttl` and "
             "`live`; what it does not name comes from the options. A member with another name is "
             "refused, but for the `id` and `time` that `history --json` and `tail --json` print. "
             "Blank lines are passed over.",
     .is_common = true},
    {.name = "rate",
     .kind = OPTION_RATE,
     FIELD(rate),
     .value = "N/s",
     .allowed = "such as 100/s, 30/m, 5k/s; above 0",
     .commands = PUBLISH,
     .help = "this many a second at most; 30/m, 5k/s, ..."},
    {.name = "count",
     NUMBER(count, 1, MANY, "1 or more"),
     .commands = PUBLISHERS | TAIL | HISTORY,
     .help = "end after N events"},
    {.name = "repeat",
     NUMBER(repeat, 1, MANY, "1 or more"),
     .fallback = "1",
     .commands = PUBLISH | REPLAY,
     .help = "publish the input N times"},
    {.name = "on-error",
     CHOICE(on_error, on_errors, "stop|skip", "stop, skip"),
     .fallback = "stop",
     .commands = PUBLISH | REPLAY,
     .help = "at a line that cannot be published",
     .more = "`skip` says which line it is and why, and goes on; the exit code is 1 in the end. "
             "Either way the last line on standard error says how many events were published, "
             "skipped and failed."},
    {.name = "resume-from",
     NUMBER(resume_from, 1, MANY, "1 or more"),
     .commands = PUBLISH,
     .help = "leave out what comes before event N",
     .more = "After an interruption, the message says which N goes on where it ended. N counts the "
             "lines of all files, blank ones included."},
    {.name = "every",
     TIME(every_ms, 1, DAY, "1ms to 24h"),
     .commands = TICKS,
     .help = "the pace",
     .more =
         "Of `clock` 1s by default, of `letters` 500ms. They come as each multiple of it begins: "
         "a clock of 1s ticks with the second."},
    {.name = "speed",
     .kind = OPTION_FACTOR,
     FIELD(speed),
     .value = "FACTOR",
     .fallback = "1",
     .allowed = "above 0, such as 10 or 0.5",
     .commands = REPLAY,
     .help = "FACTOR times as fast as the recording"},

    {.group = "A token",
     .name = "subscribe",
     TEXTS(may_subscribe, "PATTERN"),
     .check = check_pattern,
     .allowed = "such as news, orders.* or users.{sub}.**",
     .commands = TOKEN,
     .help = "topics that may be read; repeatable",
     .more = "`*` stands for any run of characters but the dot, `**` for any run, `{sub}` for the "
             "subject."},
    {.name = "publish",
     TEXTS(may_publish, "PATTERN"),
     .check = check_pattern,
     .allowed = "such as news, orders.* or users.{sub}.**",
     .commands = TOKEN,
     .help = "topics that may be published to; repeatable"},
    {.name = "subject",
     TEXT(subject, "TEXT"),
     .check = check_filled,
     .commands = TOKEN,
     .help = "whom it is for: `sub`"},
    {.name = "expires",
     TIME(expires_ms, SECOND, 365 * DAY, "1s to 365d"),
     .fallback = "1h",
     .commands = TOKEN,
     .help = "how long it is valid"},
    {.name = "secret-file",
     TEXT(secret_file, "FILE"),
     .check = check_filled,
     .commands = TOKEN,
     .help = "sign with this secret, as the relay's --token-secret-file"},
    {.name = "key-file",
     TEXT(key_file, "FILE"),
     .check = check_filled,
     .commands = TOKEN,
     .help = "sign with this private key (PEM)",
     .more = "The relay has its public half, in `--token-key`. With `--show`, the public key, a "
             "certificate or a JWKS that the token is verified with."},
    {.name = "kid",
     TEXT(kid, "TEXT"),
     .check = check_filled,
     .commands = TOKEN,
     .help = "the name of the key in the relay's JWKS"},
    {.name = "audience",
     TEXT(audience, "TEXT"),
     .check = check_filled,
     .commands = TOKEN,
     .help = "`aud`, as the relay's --token-audience"},
    {.name = "issuer",
     TEXT(issuer, "TEXT"),
     .check = check_filled,
     .commands = TOKEN,
     .help = "`iss`, as the relay's --token-issuer"},
    {.name = "claim",
     TEXT(claim, "NAME"),
     .check = check_filled,
     .fallback = "sse",
     .commands = TOKEN,
     .help = "the claim that holds the topics, as the relay's --token-claim"},
    {.name = "header-file",
     TEXT(header_file, "FILE"),
     .check = check_filled,
     .commands = TOKEN,
     .help = "write it there, as a header for `-H @FILE`",
     .more =
         "Of `sse-publish tail` and of curl alike: so it is in no list of processes. Only you can "
         "read a file that is made anew."},
    {.name = "show",
     FLAG(is_show),
     .commands = TOKEN,
     .help = "make none: say what a given one allows"},
    {.name = "token",
     TEXT(token, "TOKEN"),
     .check = check_token,
     .env = "SSE_TOKEN",
     .is_secret = true,
     .commands = TOKEN,
     .help = "what --show looks at; without it, standard input",
     .more = "Arguments show in the list of processes: it belongs into the environment."},

    {.group = "Whom to kick",
     .name = "subject",
     TEXT(subject, "TEXT"),
     .check = check_subject,
     .commands = KICK,
     .help = "streams whose token has this `sub`"},
    {.name = "token",
     TEXT(token_id, "JTI"),
     .check = check_token_id,
     .is_secret = true,
     .commands = KICK,
     .help = "streams whose token has this `jti`",
     .more = "The name of a token, not the token: `sse-publish token --show` prints it. A token "
             "without `jti` can be kicked by its subject alone."},
    {.name = "for",
     TIME(bar_ms, KICK_BAR_MIN_MS, KICK_BAR_MAX_MS, "1s to 365d"),
     .commands = KICK,
     .help = "and let them not back for so long",
     .more = "Until then whoever comes back is refused with 403, and relays that start later know "
             "it too: it is kept in Redis. Given again, the last one counts."},
    {.name = "lift",
     FLAG(is_lift),
     .commands = KICK,
     .help = "kick nobody: let them back before that"},
    {.name = "list",
     FLAG(is_list),
     .commands = KICK,
     .help = "kick nobody: print who may not come back, and until when"},

    {.group = "Where it begins",
     .name = "since",
     TEXT(since, "TIME"),
     .check = check_since,
     .allowed = "10m, or milliseconds since 1970",
     .commands = TAIL | HISTORY,
     .help = "begin TIME ago (10m), or at ms since 1970"},
    {.name = "last",
     NUMBER(last, 1, PUBLISH_HISTORY_MAX, "1 to 10000000"),
     .commands = TAIL | HISTORY,
     .help = "the last N events"},

    {.group = "Where it goes",
     .name = "redis",
     .kind = OPTION_REDIS,
     FIELD(redis),
     .value = "URL",
     .fallback = "redis://127.0.0.1:6379",
     .env = "REDIS_URL",
     .is_secret = true,
     .commands = ON_REDIS,
     .help = "the Redis that the relays use",
     .more = "`redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]` or `unix:PATH`. Arguments show in the "
             "list of processes: a password belongs into the environment.",
     .is_common = true},
    {.name = "prefix",
     TEXT(prefix, "NAME"),
     .check = names_prefix_check,
     .fallback = "sse",
     .commands = ON_REDIS,
     .help = "the --prefix of the relays"},
    {.name = "url",
     TEXT(url, "URL"),
     .check = check_url,
     .fallback = "http://127.0.0.1:8080",
     .env = "SSE_URL",
     .is_secret = true,
     .commands = TAIL,
     .help = "a relay",
     .more = "Where it listens for clients, as `http://HOST:PORT`."},
    {.name = "token",
     TEXT(token, "TOKEN"),
     .check = check_token,
     .env = "SSE_TOKEN",
     .is_secret = true,
     .commands = TAIL,
     .help = "sent to the relay: \"Authorization: Bearer\"",
     .more = "Arguments show in the list of processes: it belongs into the environment."},
    {.name = "header",
     .letter = 'H',
     TEXTS(headers, "HEADER"),
     .check = check_header,
     .is_secret = true,
     .allowed = "\"Name: value\", or @FILE",
     .commands = TAIL,
     .help = "a header for the relay; @FILE has one a line",
     .more =
         "As with curl: `Name: value`, `Name;` for an empty one, `Name:` to send none of that "
         "name, `@FILE` for the lines of a file, `@-` for those of standard input. Repeatable. One "
         "of the program's own names takes the place of its own; `Last-Event-ID` says where the "
         "first stream begins. Arguments show in the list of processes: secrets belong into a "
         "file. "
         "Where the relay redirects, the headers go along; `Authorization` and `Cookie` not to "
         "another host."},
    {.name = "cookie",
     .letter = 'b',
     TEXTS(cookies, "COOKIE"),
     .check = check_cookie,
     .is_secret = true,
     .allowed = "\"name=value\", or the name of a file",
     .commands = TAIL,
     .help = "cookies for the relay: name=value, or a file",
     .more = "As with curl: `name=value; name=value`, or the name of a file, without a `=`, as "
             "browsers' extensions and `curl -c` write it. Repeatable. Cookies that the relay or a "
             "balancer sets are sent when `tail` comes back."},
    {.name = "timeout",
     TIME(timeout_ms, 100, DAY, "100ms to 24h"),
     .fallback = "30s",
     .commands = PUBLISH | REPLAY | READERS,
     .help = "give up after so long without progress",
     .more =
         "A connection that was lost is made anew with growing pauses, and what was not answered "
         "is sent again, until nothing moved for this long: of durable events, none is stored "
         "twice. The same holds for a Redis that answers and takes no events for now (it is "
         "loading, or a replica). Where no Redis is reached at the beginning, nothing is tried "
         "again, `clock` and `letters` included; later these two never give up. `tail` gives up "
         "only before its first stream; `history`, `topics` and `doctor` do not try again, and "
         "wait this long for an answer."},

    {.group = "What is printed",
     .name = "output",
     CHOICE(output, outputs, "text|json", "text, json"),
     .fallback = "text",
     .commands = PUBLISHERS | READERS,
     .help = "json: an object a line"},
    {.name = "json", FLAG(is_json), .commands = READERS, .help = "the same as --output json"},
    {.name = "quiet",
     .letter = 'q',
     FLAG(is_quiet),
     .commands = PUBLISHERS,
     .help = "print no ids, and no summary if all went well",
     .is_common = true},
    {.name = "help",
     .letter = 'h',
     ACTION(COMMAND_HELP),
     .commands = ALL,
     .help = "print the help of a command"},
    {.name = "version",
     .letter = 'V',
     ACTION(COMMAND_VERSION),
     .commands = ALL,
     .help = "print the version"},
    {.name = "generate",
     CHOICE(generated, generates, "FILE", "man, bash, zsh, fish"),
     .commands = TAKEN_BY(COMMAND_HELP),
     .help = "print the manual, or a shell's completions",
     .more = "`man` is this page; `bash`, `zsh` and `fish` are completions, which `make install` "
             "puts where the shells look for them."},
};

const struct option_row *option_rows(size_t *len) {
    *len = sizeof(rows) / sizeof(rows[0]);
    return rows;
}

bool option_row_is_taken(const struct option_row *option, enum command command) {
    return (option->commands & TAKEN_BY(command)) != 0;
}

bool option_row_exists(const struct option_row *option) {
    size_t len;
    const struct command_row *commands = command_rows(&len);
    for (size_t i = 0; i < len; i++)
        if (option_row_is_taken(option, commands[i].command))
            return true;
    return false;
}

void option_row_put_name(const struct option_row *option, struct buf *out) {
    buf_printf(out, "--%s", option->name);
    if (option->value != NULL)
        buf_printf(out, " %s", option->value);
}

static bool is_named(const struct option_row *option, const char *name, size_t len) {
    return strlen(option->name) == len && memcmp(option->name, name, len) == 0;
}

const struct option_row *option_row_named(const char *name, size_t len, enum command command) {
    const struct option_row *found = NULL;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct option_row *option = &rows[i];
        if (!is_named(option, name, len) || !option_row_exists(option))
            continue;
        if (option_row_is_taken(option, command))
            return option;
        found = option;
    }
    return found;
}

const struct option_row *option_row_lettered(char letter) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].letter == letter)
            return &rows[i];
    return NULL;
}

const struct option_row *option_row_suggest(const char *name) {
    const struct option_row *nearest = NULL;
    struct suggestion suggestion;
    suggest_init(&suggestion, name);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (option_row_exists(&rows[i]) && suggest_try(&suggestion, rows[i].name))
            nearest = &rows[i];
    return nearest;
}
