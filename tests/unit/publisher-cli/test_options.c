/* The arguments of sse-publish: what each means, and a sentence without a secret for every other.
 */
#include <string.h>

#include "publisher-cli/options.h"
#include "relay/base/err.h"
#include "tests/unit/unit.h"

enum { ARGUMENTS_MAX = 8 };

struct good {
    const char *arguments[ARGUMENTS_MAX];
    struct options options; /* what must come out; redis is looked at in tests of its own */
};

static int read_arguments(struct options *o, const char *const *arguments, const char *environment,
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

static void check_good(const struct good *g) {
    struct options o;
    struct buf why = BUF_INIT;
    assert_int_equal(read_arguments(&o, g->arguments, NULL, &why), RELAY_OK);
    assert_int_equal(why.len, 0);
    assert_int_equal(o.command, g->options.command);
    assert_text(o.topic, g->options.topic);
    assert_text(o.data, g->options.data);
    assert_text(o.event, g->options.event);
    assert_text(o.prefix, g->options.prefix != NULL ? g->options.prefix : "sse");
    assert_int_equal(o.retry_ms, g->options.retry_ms);
    assert_int_equal(o.every_ms, g->options.every_ms);
    assert_int_equal(o.is_quiet, g->options.is_quiet);
    assert_int_equal(o.is_live, g->options.is_live);
    if (g->options.history > 0)
        assert_int_equal(o.history, g->options.history);
    if (g->options.ttl_ms > 0)
        assert_int_equal(o.ttl_ms, g->options.ttl_ms);
    assert_text(o.key, g->options.key);
    assert_int_equal(o.wait_replicas, g->options.wait_replicas);
    options_fini(&o);
    buf_fini(&why);
}

static void test_meanings(void **state) {
    (void)state;
    static const struct good all[] = {
        {{"t", "d"}, {.topic = "t", .data = "d"}},
        {{"t", ""}, {.topic = "t", .data = ""}},
        {{"t"}, {.topic = "t"}},
        {{"t", "-"}, {.topic = "t"}},
        {{"--", "clock", "-5"}, {.topic = "clock", .data = "-5"}},
        {{"t", "--", "--data"}, {.topic = "t", .data = "--data"}},
        {{"t", "clock"}, {.topic = "t", .data = "clock"}},
        {{"--event", "e", "--retry", "3s", "t", "d"},
         {.topic = "t", .data = "d", .event = "e", .retry_ms = 3000}},
        {{"t", "--event=e=f", "d", "--retry=5s"},
         {.topic = "t", .data = "d", .event = "e=f", .retry_ms = 5000}},
        {{"--event=", "t", "d"}, {.topic = "t", .data = "d", .event = ""}},
        {{"--event", "a", "--event", "b", "t", "d"}, {.topic = "t", .data = "d", .event = "b"}},
        {{"--event", "--lines", "t"}, {.topic = "t", .event = "--lines"}},
        {{"--prefix", "other", "-q", "t", "d"},
         {.topic = "t", .data = "d", .prefix = "other", .is_quiet = true}},
        {{"--retry", "1h", "t"}, {.topic = "t", .retry_ms = 3600000}},
        {{"--retry", "100ms", "t"}, {.topic = "t", .retry_ms = 100}},
        {{"--lines", "t"}, {.command = COMMAND_LINES, .topic = "t"}},
        {{"--lines", "--quiet", "t", "-"},
         {.command = COMMAND_LINES, .topic = "t", .is_quiet = true}},
        {{"clock"}, {.command = COMMAND_CLOCK, .topic = "time", .every_ms = 1000}},
        {{"clock", "--every", "250ms", "now"},
         {.command = COMMAND_CLOCK, .topic = "now", .every_ms = 250}},
        {{"--every=2m", "clock", "now"},
         {.command = COMMAND_CLOCK, .topic = "now", .every_ms = 120000}},
        {{"letters"}, {.command = COMMAND_LETTERS, .topic = "letters", .every_ms = 500}},
        {{"t", "d"}, {.topic = "t", .data = "d", .history = 1000, .ttl_ms = 3600000}},
        {{"clock"}, {.command = COMMAND_CLOCK, .topic = "time", .every_ms = 1000, .history = 100}},
        {{"clock", "--history", "7"},
         {.command = COMMAND_CLOCK, .topic = "time", .every_ms = 1000, .history = 7}},
        {{"--live", "t", "d"}, {.topic = "t", .data = "d", .is_live = true}},
        {{"--history=1", "--ttl=1s", "--key", "k", "t"},
         {.topic = "t", .history = 1, .ttl_ms = 1000, .key = "k"}},
        {{"--history=10000000", "--ttl", "7d", "--wait-replicas=100", "t"},
         {.topic = "t", .history = 10000000, .ttl_ms = 604800000, .wait_replicas = 100}},
        {{"--lines", "--key", "k", "t"}, {.command = COMMAND_LINES, .topic = "t", .key = "k"}},
        {{"letters", "abc"}, {.command = COMMAND_LETTERS, .topic = "abc", .every_ms = 500}},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        check_good(&all[i]);
}

static void test_help_and_version(void **state) {
    (void)state;
    static const struct {
        const char *arguments[ARGUMENTS_MAX];
        enum command command;
    } all[] = {
        {{"--help"}, COMMAND_HELP},
        {{"-h"}, COMMAND_HELP},
        {{"t", "d", "e", "f", "g", "--help"}, COMMAND_HELP}, /* help even for what is wrong */
        {{"--version"}, COMMAND_VERSION},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct options o;
        struct buf why = BUF_INIT;
        assert_int_equal(read_arguments(&o, all[i].arguments, NULL, &why), RELAY_OK);
        assert_int_equal(o.command, all[i].command);
        options_fini(&o);
        buf_fini(&why);
    }
    static const char *const named[] = {
        "--event",   "--retry", "--redis", "--prefix",  "--lines", "--every", "--quiet",
        "--version", "--help",  "--live",  "--history", "--ttl",   "--key",   "--wait-replicas"};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        assert_non_null(strstr(options_help(), named[i]));
}

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

static void test_refused(void **state) {
    (void)state;
    static const struct bad all[] = {
        {{NULL}, "there is no topic: sse-publish TOPIC [DATA]"},
        {{"--event", "e"}, "there is no topic: sse-publish TOPIC [DATA]"},
        {{"t", "two", "words"}, "there are too many arguments: data with spaces needs quotes"},
        {{"t", "now", "three", "words"},
         "there are too many arguments: data with spaces needs "
         "quotes"},
        {{"", "d"}, "the topic \"\" is empty"},
        {{"a*", "d"}, "the topic \"a*\" holds one of * { }, which are kept for patterns"},
        {{"relay.x", "d"},
         "the topic \"relay.x\" begins with relay., which is kept for the relay's own"},
        {{"a\x1b[2J", "d"}, "the topic holds a control character"}, /* and is not printed */
        {{"a\xff", "d"}, "the topic is not valid UTF-8"},
        {{LONG_TOPIC "x", "d"}, "the topic is longer than 256 bytes"},
        {{"clock", "a*"}, "the topic \"a*\" holds one of * { }, which are kept for patterns"},
        {{"--event", "a\nb", "t", "d"}, "the event name holds a control character"},
        {{"t", "\xc3"}, "DATA is not valid UTF-8"},
        {{"--prefix", "a:b", "t"},
         "the prefix \"a:b\" holds something else than letters, digits and _ . -"},
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
        {{"clock", "--every", "25h"}, "--every \"25h\" is out of range; allowed: 1ms to 24h"},
        {{"--every", "1s", "t", "d"}, "--every is for clock and letters"},
        {{"clock", "t", "d"}, "clock and letters make their data themselves: give a topic alone"},
        {{"--lines", "clock"}, "--lines does not go with clock and letters"},
        {{"--lines", "t", "d"}, "--lines reads standard input: give a topic alone"},
        {{"--lines=yes", "t"}, "--lines takes no value"},
        {{"--live", "--history", "5", "t"},
         "--live events are not stored: --history, --ttl, --key and --wait-replicas do not go with "
         "them"},
        {{"--live", "--key", "k", "t"},
         "--live events are not stored: --history, --ttl, --key and --wait-replicas do not go with "
         "them"},
        {{"--history", "0", "t"}, "--history \"0\" is no number from 1 to 10000000"},
        {{"--history", "10000001", "t"}, "--history \"10000001\" is no number from 1 to 10000000"},
        {{"--history", "5s", "t"}, "--history \"5s\" is no number from 1 to 10000000"},
        {{"--ttl", "999", "t"}, "--ttl \"999\" is no time of 1s or more"},
        {{"--ttl", "999999999999999d", "t"}, "--ttl \"999999999999999d\" is no time of 1s or more"},
        {{"--wait-replicas", "0", "t"}, "--wait-replicas \"0\" is no number from 1 to 100"},
        {{"--key", "", "t"}, "--key \"\" is empty"},
        {{"--key", "a\nb", "t"}, "--key holds a control character"},
        {{"--key", LONG_TOPIC "x", "t"}, "--key is longer than 256 bytes"},
        {{"--lines", "--key", LONG_TOPIC, "t"},
         "--key \"" LONG_TOPIC "\" is longer than 236 bytes, which leave room for the number of a "
         "line"},
        {{"clock", "--key", "k"}, "--key does not go with clock and letters"},
        {{"t", "--event"}, "--event needs a value behind it"},
        {{"--redsi=redis://:" SECRET "@h", "t"},
         "there is no option \"--redsi\"; data that begins with - goes behind --"},
        {{"-x", "t"}, "there is no option \"-x\"; data that begins with - goes behind --"},
        {{"-qq", "t"}, "there is no option \"-qq\"; data that begins with - goes behind --"},
        {{"--redis", "http://:" SECRET "@h", "t"},
         "--redis does not begin with redis:// or unix:; an example is redis://127.0.0.1:6379"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct options o = {.topic = "untouched"};
        struct buf why = BUF_INIT;
        assert_int_equal(read_arguments(&o, all[i].arguments, NULL, &why), RELAY_EINVAL);
        assert_string_equal(why.data, all[i].why);
        assert_null(strstr(why.data, SECRET));
        assert_string_equal(o.topic, "untouched");
        buf_fini(&why);
    }
}

static void test_long_topic(void **state) {
    (void)state;
    const struct good longest = {{LONG_TOPIC, "d"}, {.topic = LONG_TOPIC, .data = "d"}};
    check_good(&longest);
}

static void check_redis(const char *const *arguments, const char *environment, const char *host) {
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
    check_redis(without, NULL, "127.0.0.1");
    check_redis(without, "", "127.0.0.1");
    check_redis(without, "redis://environment", "environment");
    check_redis(with, "redis://environment", "option");
    check_redis(with, "nonsense", "option");

    struct options o;
    struct buf why = BUF_INIT;
    assert_int_equal(read_arguments(&o, without, "redis://:" SECRET "@", &why), RELAY_EINVAL);
    assert_string_equal(why.data, "REDIS_URL has no host; an example is redis://127.0.0.1:6379");
    buf_fini(&why);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings), cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_long_topic),
        cmocka_unit_test(test_redis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
