/* The arguments of sse-publish: what each means, and a sentence without a secret for every other.
 */
#include <string.h>

#include "publisher-cli/options/options.h"
#include "publisher-cli/options/table.h"
#include "relay/base/err.h"
#include "tests/unit/unit.h"

enum { ARGUMENTS_MAX = 10, LIST_MAX = 4 };

static const char *no_environment(const char *name) {
    (void)name;
    return NULL;
}

static int read_arguments(struct options *o, const char *const *arguments, options_env environment,
                          struct buf *why) {
    char *argv[ARGUMENTS_MAX + 2] = {(char *)"sse-publish"};
    int argc = 1;
    while (arguments[argc - 1] != NULL) {
        argv[argc] = (char *)arguments[argc - 1];
        argc++;
    }
    return options_read(o, argc, argv, environment, why);
}

static void assert_text(const char *got, const char *wanted) {
    if (wanted == NULL)
        assert_null(got);
    else
        assert_string_equal(got, wanted);
}

/* Read what must be good. */
static struct options good(const char *const *arguments) {
    struct options o;
    struct buf why = BUF_INIT;
    if (read_arguments(&o, arguments, no_environment, &why) != RELAY_OK)
        fail_msg("%s: %s", arguments[0], why.data);
    assert_int_equal(why.len, 0);
    return o;
}

#define GOOD(...) good((const char *const[]){__VA_ARGS__, NULL})

/* ---- words ---- */

static void check_list(const char **got, size_t count, const char *const *wanted) {
    for (size_t i = 0; i < count; i++)
        assert_text(got[i], wanted[i]);
    assert_null(wanted[count]);
}

static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *arguments[ARGUMENTS_MAX];
        enum command command;
        const char *topics[LIST_MAX];
        const char *data;
        const char *files[LIST_MAX];
    } all[] = {
        {{"t", "d"}, COMMAND_PUBLISH, {"t"}, "d", {NULL}},
        {{"t", ""}, COMMAND_PUBLISH, {"t"}, "", {NULL}},
        {{"t"}, COMMAND_PUBLISH, {"t"}, NULL, {NULL}},
        {{"t", "-"}, COMMAND_PUBLISH, {"t"}, NULL, {NULL}},
        {{"t", "--empty"}, COMMAND_PUBLISH, {"t"}, "", {NULL}},
        {{"-t", "doctr"}, COMMAND_PUBLISH, {"doctr"}, NULL, {NULL}},
        {{"--", "doctr"}, COMMAND_PUBLISH, {"doctr"}, NULL, {NULL}},
        {{"publish", "doctr"}, COMMAND_PUBLISH, {"doctr"}, NULL, {NULL}},
        {{"doctr", "d"}, COMMAND_PUBLISH, {"doctr"}, "d", {NULL}},
        {{"doctr", "-"}, COMMAND_PUBLISH, {"doctr"}, NULL, {NULL}},
        {{"doctr", "--empty"}, COMMAND_PUBLISH, {"doctr"}, "", {NULL}},
        {{"doctr", "--lines"}, COMMAND_PUBLISH, {"doctr"}, NULL, {NULL}},
        {{"-t", "t", "tial"}, COMMAND_PUBLISH, {"t"}, "tial", {NULL}},
        {{"--", "clock", "-5"}, COMMAND_PUBLISH, {"clock"}, "-5", {NULL}},
        {{"t", "--", "--data"}, COMMAND_PUBLISH, {"t"}, "--data", {NULL}},
        {{"t", "clock"}, COMMAND_PUBLISH, {"t"}, "clock", {NULL}},
        {{"publish", "clock", "d"}, COMMAND_PUBLISH, {"clock"}, "d", {NULL}},
        {{"-t", "a", "-t", "b"}, COMMAND_PUBLISH, {"a", "b"}, NULL, {NULL}},
        {{"-ta", "d", "--topic=b"}, COMMAND_PUBLISH, {"a", "b"}, "d", {NULL}},
        {{"-t", "clock", "d"}, COMMAND_PUBLISH, {"clock"}, "d", {NULL}},
        {{"--lines", "t"}, COMMAND_PUBLISH, {"t"}, NULL, {NULL}},
        {{"--lines", "t", "-"}, COMMAND_PUBLISH, {"t"}, NULL, {"-"}},
        {{"t", "f", "--lines", "-", "g"}, COMMAND_PUBLISH, {"t"}, NULL, {"f", "-", "g"}},
        {{"--lines", "-t", "t", "f"}, COMMAND_PUBLISH, {"t"}, NULL, {"f"}},
        {{"--ndjson"}, COMMAND_PUBLISH, {NULL}, NULL, {NULL}},
        {{"--ndjson", "f", "g"}, COMMAND_PUBLISH, {NULL}, NULL, {"f", "g"}},
        {{"--ndjson", "-t", "t", "f"}, COMMAND_PUBLISH, {"t"}, NULL, {"f"}},
        {{"clock"}, COMMAND_CLOCK, {"time"}, NULL, {NULL}},
        {{"clock", "now"}, COMMAND_CLOCK, {"now"}, NULL, {NULL}},
        {{"clock", "-t", "a", "-t", "b"}, COMMAND_CLOCK, {"a", "b"}, NULL, {NULL}},
        {{"letters"}, COMMAND_LETTERS, {"letters"}, NULL, {NULL}},
        {{"--every=2m", "letters", "abc"}, COMMAND_LETTERS, {"abc"}, NULL, {NULL}},
        {{"history", "--last", "5", "t"}, COMMAND_HISTORY, {"t"}, NULL, {NULL}},
        {{"topics"}, COMMAND_TOPICS, {NULL}, NULL, {NULL}},
        {{"topics", "a{*"}, COMMAND_TOPICS, {"a{*"}, NULL, {NULL}},
        {{"token", "--secret-file", "s", "--subscribe", "a.*"},
         COMMAND_TOKEN,
         {NULL},
         NULL,
         {NULL}},
        {{"token", "--show"}, COMMAND_TOKEN, {NULL}, NULL, {NULL}},
        {{"doctor"}, COMMAND_DOCTOR, {NULL}, NULL, {NULL}},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct options o = good(all[i].arguments);
        assert_int_equal(o.command, all[i].command);
        check_list(o.topics, o.topics_count, all[i].topics);
        assert_text(o.data, all[i].data);
        check_list(o.files, o.files_count, all[i].files);
        options_fini(&o);
    }
}

/* ---- options ---- */

static void test_defaults(void **state) {
    (void)state;
    struct options o = GOOD("t");
    assert_int_equal(o.input, INPUT_WHOLE);
    assert_null(o.event);
    assert_null(o.key);
    assert_null(o.url);
    assert_string_equal(o.prefix, "sse");
    assert_int_equal(o.history, 1000);
    assert_int_equal(o.ttl_ms, 3600000);
    assert_int_equal(o.timeout_ms, 30000);
    assert_int_equal(o.repeat, 1);
    assert_int_equal(o.count + o.resume_from + o.last + o.retry_ms + o.wait_replicas, 0);
    assert_true(o.rate == 0 && o.speed == 0);
    assert_false(o.is_live || o.is_json || o.is_quiet);
    assert_int_equal(o.output, OUTPUT_TEXT);
    assert_int_equal(o.on_error, ON_ERROR_STOP);
    options_fini(&o);

    o = GOOD("clock");
    assert_int_equal(o.every_ms, 1000);
    assert_int_equal(o.history, 100);
    options_fini(&o);
    o = GOOD("letters");
    assert_int_equal(o.every_ms, 500);
    options_fini(&o);
}

static void test_values(void **state) {
    (void)state;
    struct options o = GOOD("t", "--event", "e=f", "--retry=3s", "--history", "7", "--ttl=7d",
                            "--key", "k", "--wait-replicas=100");
    assert_string_equal(o.event, "e=f");
    assert_int_equal(o.retry_ms, 3000);
    assert_int_equal(o.history, 7);
    assert_int_equal(o.ttl_ms, 604800000);
    assert_string_equal(o.key, "k");
    assert_int_equal(o.wait_replicas, 100);
    options_fini(&o);

    o = GOOD("--ndjson", "--rate=5k/s", "--count", "1000000", "--on-error=skip", "--resume-from=9",
             "-", "--timeout=2m");
    assert_int_equal(o.input, INPUT_NDJSON);
    assert_true(o.rate == 5000);
    assert_int_equal(o.count, 1000000);
    assert_int_equal(o.on_error, ON_ERROR_SKIP);
    assert_int_equal(o.resume_from, 9);
    assert_int_equal(o.timeout_ms, 120000);
    options_fini(&o);

    o = GOOD("--lines", "t", "f", "--repeat", "3", "--live", "--json", "--output=json",
             "--prefix=p");
    assert_int_equal(o.input, INPUT_LINES);
    assert_int_equal(o.repeat, 3);
    assert_true(o.is_live && o.is_json);
    assert_int_equal(o.history + o.ttl_ms, 0); /* of live events */
    assert_int_equal(o.output, OUTPUT_JSON);
    assert_string_equal(o.prefix, "p");
    options_fini(&o);

    o = GOOD("clock", "-q", "--every=250ms", "--history=5", "--count=3");
    assert_true(o.is_quiet);
    assert_int_equal(o.every_ms, 250);
    assert_int_equal(o.history, 5);
    assert_int_equal(o.count, 3);
    options_fini(&o);
}

static void test_a_kick(void **state) {
    (void)state;
    struct options o = GOOD("kick", "--subject", "alice", "--for", "10m", "--json");
    assert_int_equal(o.command, COMMAND_KICK);
    assert_text(o.subject, "alice");
    assert_int_equal(o.bar_ms, 600000);
    assert_int_equal(o.output, OUTPUT_JSON);
    options_fini(&o);

    o = GOOD("kick", "--token=a b", "--lift");
    assert_text(o.token_id, "a b");
    assert_null(o.token); /* that of the environment and of `token` */
    assert_true(o.is_lift && o.bar_ms == 0);
    options_fini(&o);

    o = GOOD("kick", "-t", "orders.42");
    assert_int_equal(o.topics_count, 1);
    options_fini(&o);

    o = GOOD("kick", "--list");
    assert_true(o.is_list);
    options_fini(&o);
}

static void test_headers_and_cookies(void **state) {
    (void)state;
    struct options o =
        GOOD("tail", "t", "-H", "A: b", "--header=C;", "-H@file", "-b", "a=b", "-bjar");
    assert_int_equal(o.headers.count, 3);
    assert_string_equal(o.headers.all[0], "A: b");
    assert_string_equal(o.headers.all[1], "C;");
    assert_string_equal(o.headers.all[2], "@file");
    assert_int_equal(o.cookies.count, 2);
    assert_string_equal(o.cookies.all[1], "jar");
    options_fini(&o);
}

/* The last value counts; what looks like an option is a value behind one that takes some. */
static void test_order(void **state) {
    (void)state;
    struct options o = GOOD("--event", "a", "--event", "b", "t", "--event", "--lines");
    assert_string_equal(o.event, "--lines");
    assert_int_equal(o.input, INPUT_WHOLE);
    options_fini(&o);
    o = GOOD("--event=", "t");
    assert_string_equal(o.event, "");
    options_fini(&o);
    o = GOOD("--every", "250ms", "clock");
    assert_int_equal(o.every_ms, 250);
    options_fini(&o);
}

static void test_rates(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double rate;
    } all[] = {{"100/s", 100}, {"100", 100},   {"30/m", 0.5},    {"7200/h", 2}, {"0.25/s", 0.25},
               {"5k", 5000},   {"5k/s", 5000}, {"1.5k/s", 1500}, {"2M/s", 2e6}, {"60k/m", 1000}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct options o = GOOD("--lines", "t", "--rate", all[i].text);
        assert_true(o.rate == all[i].rate);
        options_fini(&o);
    }
}

static void test_help_and_version(void **state) {
    (void)state;
    static const struct {
        const char *arguments[ARGUMENTS_MAX];
        enum command command, help_on;
    } all[] = {
        {{"--help"}, COMMAND_HELP, COMMAND_HELP},
        {{"-h"}, COMMAND_HELP, COMMAND_HELP},
        {{"help"}, COMMAND_HELP, COMMAND_HELP},
        {{"help", "help"}, COMMAND_HELP, COMMAND_HELP},
        {{"help", "clock"}, COMMAND_HELP, COMMAND_CLOCK},
        {{"help", "publish"}, COMMAND_HELP, COMMAND_PUBLISH},
        {{"clock", "--help"}, COMMAND_HELP, COMMAND_CLOCK},
        {{"--every", "nonsense", "letters", "-h"}, COMMAND_HELP, COMMAND_LETTERS},
        {{"t", "d", "e", "f", "--help"}, COMMAND_HELP, COMMAND_HELP}, /* even for what is wrong */
        {{"--version"}, COMMAND_VERSION, COMMAND_HELP},
        {{"-V"}, COMMAND_VERSION, COMMAND_HELP},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct options o = good(all[i].arguments);
        assert_int_equal(o.command, all[i].command);
        assert_int_equal(o.help_on, all[i].help_on);
        options_fini(&o);
    }
}

/* ---- what is refused ---- */

/* Every argument list that ends here says @why, and none repeats the secret. */
#define SECRET "hunter2"
#define LONG_TOPIC                                                                                 \
    "0123456789012345678901234567890123456789012345678901234567890123"                             \
    "0123456789012345678901234567890123456789012345678901234567890123"                             \
    "0123456789012345678901234567890123456789012345678901234567890123"                             \
    "0123456789012345678901234567890123456789012345678901234567890123"

struct bad {
    const char *arguments[ARGUMENTS_MAX];
    const char *why;
};

static void check_bad(const struct bad *bad, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct options o = {.event = "untouched"};
        struct buf why = BUF_INIT;
        assert_int_equal(read_arguments(&o, bad[i].arguments, no_environment, &why), RELAY_EINVAL);
        assert_string_equal(why.data, bad[i].why);
        assert_null(strstr(why.data, SECRET));
        assert_string_equal(o.event, "untouched");
        buf_fini(&why);
    }
}

static void test_refused_words(void **state) {
    (void)state;
    static const struct bad all[] = {
        {{NULL}, "there is no topic: sse-publish TOPIC [DATA]"},
        {{"--event", "e"}, "there is no topic: sse-publish TOPIC [DATA]"},
        {{"--lines"}, "there is no topic: sse-publish --lines TOPIC [FILE]..."},
        {{"t", "two", "words"},
         "there are too many arguments: data with spaces needs quotes, and several topics are -t "
         "TOPIC each"},
        {{"-t", "t", "two", "words"},
         "there are too many arguments: data with spaces needs quotes, and several topics are -t "
         "TOPIC each"},
        {{"clock", "t", "d"}, "there are too many arguments: sse-publish clock [TOPIC]"},
        {{"history"}, "there is no topic: sse-publish history TOPIC"},
        {{"history", "a", "b"}, "there are too many arguments: sse-publish history TOPIC"},
        {{"doctor", "a"}, "there are too many arguments: sse-publish doctor takes none"},
        {{"", "d"}, "the topic \"\" is empty"},
        {{"a*", "d"}, "the topic \"a*\" holds one of * { }, which are kept for patterns"},
        {{"relay.x", "d"},
         "the topic \"relay.x\" begins with relay., which is kept for the relay's own"},
        {{"a\x1b[2J", "d"}, "the topic holds a control character"}, /* and is not printed */
        {{"a\xff", "d"}, "the topic is not valid UTF-8"},
        {{LONG_TOPIC "x", "d"}, "the topic is longer than 256 bytes"},
        {{"-t", "a", "-t", "b", "-t", "a"}, "the topic \"a\" is given twice"},
        {{"clock", "a*"}, "the topic \"a*\" holds one of * { }, which are kept for patterns"},
        {{"t", "\xc3"}, "DATA is not valid UTF-8"},
        {{"doctr"},
         "there is no command \"doctr\"; to publish to a topic of that name: sse-publish -t doctr; "
         "or "
         "was doctor meant?"},
        {{"tial", "--last", "5"}, /* before what is wrong with it as a topic */
         "there is no command \"tial\"; to publish to a topic of that name: sse-publish -t tial; "
         "or was "
         "tail meant?"},
        {{"t", "d", "--empty"}, "--empty is an event without data: DATA or - does not go with it"},
        {{"t", "-", "--empty"}, "--empty is an event without data: DATA or - does not go with it"},
        {{"t", "--lines", "--empty"},
         "--empty is one event: --lines and --ndjson do not go with it"},
    };
    check_bad(all, sizeof(all) / sizeof(all[0]));
}

static void test_refused_values(void **state) {
    (void)state;
    static const struct bad all[] = {
        {{"--event", "a\nb", "t", "d"}, "--event holds a control character"},
        {{"--prefix", "a:b", "t"},
         "--prefix \"a:b\" holds something else than letters, digits and _ . -"},
        {{"--retry", "1", "t"}, "--retry \"1\" has no unit; allowed: 100ms to 1h"},
        {{"--retry", "2h", "t"}, "--retry \"2h\" is out of range; allowed: 100ms to 1h"},
        {{"--retry", "3 s", "t"},
         "--retry \"3 s\" does not end in a unit that is known; allowed: 100ms to 1h"},
        {{"--retry", "-1s", "t"}, "--retry \"-1s\" is not a whole number; allowed: 100ms to 1h"},
        {{"--retry", "99999999999999999999s", "t"},
         "--retry \"99999999999999999999s\" is out of range; allowed: 100ms to 1h"},
        {{"--retry=", "t"}, "--retry \"\" is not a whole number; allowed: 100ms to 1h"},
        {{"clock", "--every", "5"}, "--every \"5\" has no unit; allowed: 1ms to 24h"},
        {{"clock", "--every", "0"}, "--every \"0\" is out of range; allowed: 1ms to 24h"},
        {{"--history", "0", "t"}, "--history \"0\" is out of range; allowed: 1 to 10000000"},
        {{"--history", "10000001", "t"},
         "--history \"10000001\" is out of range; allowed: 1 to 10000000"},
        {{"--history", "5s", "t"},
         "--history \"5s\" does not end in a unit that is known; allowed: 1 to 10000000"},
        {{"--ttl", "999ms", "t"}, "--ttl \"999ms\" is out of range; allowed: 1s or more"},
        {{"--wait-replicas", "0", "t"}, "--wait-replicas \"0\" is out of range; allowed: 1 to 100"},
        {{"--key", "", "t"}, "--key \"\" is empty"},
        {{"--key", "a\nb", "t"}, "--key holds a control character"},
        {{"--key", LONG_TOPIC "x", "t"}, "--key is longer than 256 bytes"},
        {{"--lines", "--rate", "fast", "t"},
         "--rate \"fast\" is no number; allowed: such as 100/s, 30/m, 5k/s; above 0"},
        {{"--lines", "--rate", "1/d", "t"},
         "--rate \"1/d\" does not end in /s, /m or /h; allowed: such as 100/s, 30/m, 5k/s; above "
         "0"},
        {{"--lines", "--rate", "0/s", "t"},
         "--rate \"0/s\" is out of range; allowed: such as 100/s, 30/m, 5k/s; above 0"},
        {{"--lines", "--on-error", "retry", "t"},
         "--on-error \"retry\" is not one of its values; allowed: stop, skip"},
        {{"--lines", "--resume-from", "0", "t"},
         "--resume-from \"0\" is out of range; allowed: 1 or more"},
        {{"--redis", "http://:" SECRET "@h", "t"},
         "--redis does not begin with redis://, valkey:// or unix:; an example is "
         "redis://127.0.0.1:6379"},
        {{"tail", "t", "-H", SECRET}, "--header is no header; allowed: \"Name: value\", or @FILE"},
        {{"tail", "t", "-H", "A b: " SECRET},
         "--header is no header; allowed: \"Name: value\", or @FILE"},
        {{"tail", "t", "-H", "A: b\r\nC: " SECRET},
         "--header holds a control character; allowed: \"Name: value\", or @FILE"},
        {{"tail", "t", "-H", "@"},
         "--header names no file behind the @; allowed: \"Name: value\", or @FILE"},
        {{"tail", "t", "-b", "a=" SECRET "\n"},
         "--cookie holds a control character; allowed: \"name=value\", or the name of a file"},
        {{"tail", "t", "-b", ""},
         "--cookie is empty; allowed: \"name=value\", or the name of a file"},
    };
    check_bad(all, sizeof(all) / sizeof(all[0]));
}

static void test_refused_options(void **state) {
    (void)state;
    static const struct bad all[] = {
        {{"t", "--event"}, "--event needs a value behind it: --event NAME"},
        {{"t", "-t"}, "--topic needs a value behind it: --topic TOPIC"},
        {{"--lines=yes", "t"}, "--lines takes no value"},
        {{"--redsi=redis://:" SECRET "@h", "t"},
         "there is no option \"--redsi\"; was --redis meant?"},
        {{"--hsitory", "5", "t"}, "there is no option \"--hsitory\"; was --history meant?"},
        {{"t", "--nonsense"},
         "there is no option \"--nonsense\"; data that begins with - goes behind --"},
        {{"-x", "t"}, "there is no option \"-x\"; data that begins with - goes behind --"},
        {{"-qq", "t"}, "there is no option \"-qq\"; data that begins with - goes behind --"},
        {{"--every", "1s", "t", "d"}, "--every is for clock and letters, not for publish"},
        {{"--lines", "clock"}, "--lines is for publish, not for clock"},
        {{"clock", "--key", "k"}, "--key is for publish, not for clock"},
    };
    check_bad(all, sizeof(all) / sizeof(all[0]));
}

static void test_refused_together(void **state) {
    (void)state;
    static const char not_stored[] = "--live events are not stored: --history, --ttl, --key and "
                                     "--wait-replicas do not go with them";
    static const struct bad all[] = {
        {{"--live", "--history", "5", "t"}, not_stored},
        {{"--live", "--key", "k", "t"}, not_stored},
        {{"--lines", "--key", LONG_TOPIC, "t"},
         "--key \"" LONG_TOPIC "\" is longer than 236 bytes, which leave room for the number of a "
         "line"},
        {{"--lines", "--ndjson", "t"},
         "--lines and --ndjson do not go together: a line is one or the other"},
        {{"--rate", "5/s", "t", "d"}, "--rate goes with --lines, --ndjson or --repeat"},
        {{"--count", "5", "t", "d"}, "--count goes with --lines, --ndjson or --repeat"},
        {{"--on-error", "skip", "t", "d"}, "--on-error goes with --lines or --ndjson"},
        {{"--resume-from", "2", "t", "d"}, "--resume-from goes with --lines or --ndjson"},
        {{"--lines", "--repeat", "2", "t"},
         "--repeat needs files: lines of standard input can be read once only"},
        {{"--ndjson", "--repeat", "2", "f", "-"},
         "--repeat needs files: lines of standard input can be read once only"},
        {{"-q", "--output", "json", "t", "d"},
         "--quiet prints nothing, so --output json does not go with it"},
        {{"kick"},
         "there is nobody to be kicked: --subject TEXT, --token JTI or --topic TOPIC says whom"},
        {{"kick", "--subject", "a", "--token", "b"},
         "--subject, --token and --topic do not go together, and each goes once: a kick is of one "
         "of them"},
        {{"kick", "-t", "a", "-t", "b"},
         "--subject, --token and --topic do not go together, and each goes once: a kick is of one "
         "of them"},
        {{"kick", "--subject", "a", "--lift", "--for", "1m"},
         "--lift and --for do not go together: one ends a bar, the other begins it"},
        {{"kick", "--list", "--lift"},
         "--list prints all who may not come back: nothing else goes with it"},
        {{"kick", "--token", "eyJh.eyJi.c2ln"},
         "--token is a whole token; its name is its claim `jti`, which `sse-publish token --show` "
         "prints"},
        {{"kick", "--subject", "a", "--for", "10"},
         "--for \"10\" has no unit; allowed: 1s to 365d"},
    };
    check_bad(all, sizeof(all) / sizeof(all[0]));
}

static void test_long_topic(void **state) {
    (void)state;
    struct options o = GOOD(LONG_TOPIC, "d");
    assert_string_equal(o.topics[0], LONG_TOPIC);
    options_fini(&o);
}

/* ---- the environment ---- */

static const char *empty_redis_url(const char *name) {
    return strcmp(name, "REDIS_URL") == 0 ? "" : NULL;
}

static const char *some_redis_url(const char *name) {
    return strcmp(name, "REDIS_URL") == 0 ? "redis://environment" : NULL;
}

static const char *wrong_redis_url(const char *name) {
    return strcmp(name, "REDIS_URL") == 0 ? "redis://:" SECRET "@" : NULL;
}

static void check_redis(const char *const *arguments, options_env environment, const char *host) {
    struct options o;
    struct buf why = BUF_INIT;
    assert_int_equal(read_arguments(&o, arguments, environment, &why), RELAY_OK);
    assert_string_equal(o.redis.host, host);
    options_fini(&o);
    buf_fini(&why);
}

/* The option, then the environment, then the default. */
static void test_redis(void **state) {
    (void)state;
    static const char *const without[] = {"t", NULL};
    static const char *const with[] = {"t", "--redis", "redis://option", NULL};
    check_redis(without, no_environment, "127.0.0.1");
    check_redis(without, empty_redis_url, "127.0.0.1");
    check_redis(without, some_redis_url, "environment");
    check_redis(with, some_redis_url, "option");
    check_redis(with, wrong_redis_url, "option");

    struct options o;
    struct buf why = BUF_INIT;
    assert_int_equal(read_arguments(&o, without, wrong_redis_url, &why), RELAY_EINVAL);
    assert_string_equal(why.data, "REDIS_URL has no host; an example is redis://127.0.0.1:6379");
    buf_fini(&why);
}

/* ---- the tables ---- */

/* What options.c takes for granted. */
static void test_tables(void **state) {
    (void)state;
    size_t commands_len, options_len;
    const struct command_row *commands = command_rows(&commands_len);
    const struct option_row *options = option_rows(&options_len);
    for (size_t i = 0; i < commands_len; i++) {
        assert_non_null(commands[i].name);
        assert_non_null(commands[i].summary);
        assert_non_null(commands[i].prose);
        assert_ptr_equal(command_row_of(commands[i].command), &commands[i]);
        assert_true(commands[i].run != NULL || commands[i].command == COMMAND_HELP);
        assert_true(commands[i].words != WORDS_FILES ||
                    commands[i].words_min <= commands[i].words_max);
    }
    for (size_t i = 0; i < options_len; i++) {
        const struct option_row *option = &options[i];
        bool is_flag = option->kind == OPTION_FLAG || option->kind == OPTION_INPUT ||
                       option->kind == OPTION_ACTION;
        assert_int_equal(is_flag, option->value == NULL);
        assert_non_null(option->help);
        assert_true(option->offset + option->size <= sizeof(struct options));
        for (size_t k = 0; k < i; k++) /* a name stands twice only for different commands */
            assert_true(strcmp(options[k].name, option->name) != 0 ||
                        (options[k].commands & option->commands) == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),           cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),          cmocka_unit_test(test_order),
        cmocka_unit_test(test_a_kick),          cmocka_unit_test(test_headers_and_cookies),
        cmocka_unit_test(test_rates),           cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_refused_words),   cmocka_unit_test(test_refused_values),
        cmocka_unit_test(test_refused_options), cmocka_unit_test(test_refused_together),
        cmocka_unit_test(test_long_topic),      cmocka_unit_test(test_redis),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
