/* The configuration: three sources, what each value may be, and the sentence when it may not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/config/config.h"
#include "relay/config/option_table.h"
#include "tests/unit/unit.h"

enum { TEXT_BYTES = 512 };

#define LIST(...) ((char *[]){__VA_ARGS__, NULL})
#define ARGS(...) LIST("sse-relay", __VA_ARGS__)
#define NONE ((char *[]){NULL})

struct world {
    char directory[200];
    char file[220]; /* for a configuration file */
    struct config config;
    struct buf message;
};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    const char *tmp = getenv("TMPDIR");
    snprintf(w->directory, sizeof(w->directory), "%s/config-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->directory));
    snprintf(w->file, sizeof(w->file), "%s/relay.json", w->directory);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    config_fini(&w->config);
    buf_fini(&w->message);
    unlink(w->file);
    rmdir(w->directory);
    free(w);
    return 0;
}

static enum config_action load(struct world *w, char **args, char **env) {
    int argc = 0;
    while (args[argc] != NULL)
        argc++;
    config_fini(&w->config);
    return config_load(&w->config, argc, args, env, &w->message);
}

static void assert_runs(struct world *w, char **args, char **env) {
    if (load(w, args, env) != CONFIG_RUN)
        fail_msg("refused: %s", w->message.data);
}

static void assert_refuses(struct world *w, char **args, char **env, const char *sentence) {
    char expected[TEXT_BYTES];
    snprintf(expected, sizeof(expected), "sse-relay: %s\n", sentence);
    assert_int_equal(load(w, args, env), CONFIG_EXIT_USAGE);
    assert_string_equal(w->message.data, expected);
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Load with @text as the configuration file. */
static enum config_action load_file(struct world *w, const char *text) {
    write_file(w->file, text);
    return load(w, ARGS("--config", w->file), NONE);
}

static void assert_file_runs(struct world *w, const char *text) {
    if (load_file(w, text) != CONFIG_RUN)
        fail_msg("refused: %s", w->message.data);
}

/* @format has one %s, where the file's name goes. */
static void assert_file_refused(struct world *w, const char *text, const char *before,
                                const char *after) {
    char expected[TEXT_BYTES];
    snprintf(expected, sizeof(expected), "sse-relay: %s%s%s\n", before, w->file, after);
    assert_int_equal(load_file(w, text), CONFIG_EXIT_USAGE);
    assert_string_equal(w->message.data, expected);
}

static void test_defaults(void **state) {
    struct world *w = *state;
    assert_runs(w, LIST("sse-relay"), NULL);
    const struct config *c = &w->config;
    assert_int_equal(c->listen.len, 1);
    assert_string_equal(c->listen.items[0].host, "127.0.0.1");
    assert_int_equal(c->listen.items[0].port, 8080);
    assert_int_equal(c->admin_listen.kind, LISTEN_NONE);
    assert_int_equal(c->allowed_hosts.len, 0);
    assert_string_equal(c->redis_url, "redis://127.0.0.1:6379");
    assert_string_equal(c->prefix, "sse");
    assert_int_equal(c->redis_timeout_ms, 3000);
    assert_false(c->embedded_redis);
    assert_false(c->demo);
    assert_int_equal(c->heartbeat_ms, 15000);
    assert_int_equal(c->retry_ms, 3000);
    assert_int_equal(c->max_age_ms, 0);
    assert_int_equal(c->linger_ms, 2000);
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->max_connections, 0);
    assert_int_equal(c->max_topics, 256);
    assert_int_equal(c->max_streams, 256);
    assert_int_equal(c->max_connections_per_address, 0);
    assert_int_equal(c->max_connections_per_subject, 0);
    assert_int_equal(c->max_streams_per_subject, 1000);
    assert_int_equal(c->accept_rate, 0);
    assert_int_equal(c->publish_rate, 0);
    assert_int_equal(c->publish_burst, 0);
    assert_int_equal(c->max_failed_tokens, 0);
    assert_int_equal(c->outbox_limit, 256 * 1024);
    assert_int_equal(c->send_buffer, 128 * 1024);
    assert_int_equal(c->write_timeout_ms, 30000);
    assert_int_equal(c->header_timeout_ms, 10000);
    assert_int_equal(c->body_timeout_ms, 30000);
    assert_int_equal(c->idle_timeout_ms, 60000);
    assert_int_equal(c->cors_origins.len, 0);
    assert_false(c->allow_anonymous_publish);
    assert_int_equal(c->drain_grace_ms, 2000);
    assert_int_equal(c->drain_ms, 10000);
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    assert_int_equal(c->log_format, LOG_FORMAT_AUTO);
    assert_null(c->file);
}

static void test_command_line_forms(void **state) {
    struct world *w = *state;
    assert_runs(w,
                ARGS("--heartbeat", "100ms", "--retry=2m", "--max-age=30d", "--drain", "0",
                     "--outbox-limit=1KiB", "--send-buffer=4096", "--workers=64", "--demo",
                     "--embedded-redis=yes", "--log-level", "debug", "--log-format=json"),
                NONE);
    assert_int_equal(w->config.heartbeat_ms, 100);
    assert_int_equal(w->config.retry_ms, 120000);
    assert_int_equal(w->config.max_age_ms, 30 * UINT64_C(86400000));
    assert_int_equal(w->config.drain_ms, 0);
    assert_int_equal(w->config.outbox_limit, 1024);
    assert_int_equal(w->config.send_buffer, 4096);
    assert_int_equal(w->config.workers, 64);
    assert_true(w->config.demo);
    assert_true(w->config.embedded_redis);
    assert_int_equal(w->config.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(w->config.log_format, LOG_FORMAT_JSON);
}

static void test_last_value_on_the_command_line_counts(void **state) {
    struct world *w = *state;
    assert_runs(w,
                ARGS("--retry=1s", "--retry=2s", "--demo", "--no-demo", "--prefix=a", "--prefix=b"),
                NONE);
    assert_int_equal(w->config.retry_ms, 2000);
    assert_false(w->config.demo);
    assert_string_equal(w->config.prefix, "b");
}

static void test_precedence(void **state) {
    struct world *w = *state;
    write_file(w->file,
               "{\"prefix\": \"file\", \"retry\": \"1s\", \"max_topics\": 7, \"demo\": true}");
    char variable[250];
    snprintf(variable, sizeof(variable), "SSE_RELAY_CONFIG=%s", w->file);
    assert_runs(w, ARGS("--prefix=line", "--no-demo"),
                LIST(variable, "SSE_RELAY_PREFIX=env", "SSE_RELAY_RETRY=2s", "PATH=/bin"));
    assert_string_equal(w->config.prefix, "line");
    assert_int_equal(w->config.retry_ms, 2000);
    assert_int_equal(w->config.max_topics, 7);
    assert_false(w->config.demo);
    assert_string_equal(w->config.file, w->file);
    assert_int_equal(w->config.heartbeat_ms, 15000);
}

static void assert_strings(const struct config_strings *list, char **expected) {
    size_t len = 0;
    for (; expected[len] != NULL; len++) {
        assert_true(len < list->len);
        assert_string_equal(list->items[len], expected[len]);
    }
    assert_int_equal(list->len, len);
}

static void test_lists(void **state) {
    struct world *w = *state;
    assert_runs(w, ARGS("--allowed-host=a,b", "--allowed-host", "c"),
                LIST("SSE_RELAY_ALLOWED_HOST=lost", "SSE_RELAY_CORS_ORIGIN= http://a , http://b"));
    assert_strings(&w->config.allowed_hosts, LIST("a", "b", "c"));
    assert_strings(&w->config.cors_origins, LIST("http://a", "http://b"));

    assert_file_runs(w,
                     "{\"allowed_host\": [\"a\", \"b\"], \"cors_origin\": \"http://a,http://b\"}");
    assert_strings(&w->config.allowed_hosts, LIST("a", "b"));
    assert_strings(&w->config.cors_origins, LIST("http://a", "http://b"));

    write_file(w->file, "{\"allowed_host\": [\"lost\"], \"cors_origin\": []}");
    assert_runs(w, ARGS("--config", w->file, "--allowed-host="), NONE);
    assert_strings(&w->config.allowed_hosts, NONE);
    assert_strings(&w->config.cors_origins, NONE);

    /* A comma within an element of an array is part of it. */
    assert_file_runs(w, "{\"listen\": [\"unix:/tmp/a,b\", \":1\"]}");
    assert_int_equal(w->config.listen.len, 2);
    assert_string_equal(w->config.listen.items[0].path, "/tmp/a,b");

    assert_refuses(w, ARGS("--allowed-host=a,,b"), NONE,
                   "--allowed-host \"\" (command line) has no host; allowed: a host name or "
                   "address, without scheme and port");
    assert_refuses(w, ARGS("--listen="), NONE,
                   "--listen \"\" (command line) is empty; allowed: HOST:PORT, [IPV6]:PORT, :PORT "
                   "for all addresses, each with https:// before it for TLS, or unix:PATH; "
                   "proxy+ before any of it for the PROXY protocol");
}

static void test_sentences(void **state) {
    struct world *w = *state;
    assert_refuses(w, ARGS("--heartbeat", "5"), NONE,
                   "--heartbeat \"5\" (command line) has no unit; allowed: 100ms to 1h");
    assert_refuses(w, ARGS("--retry=99ms"), NONE,
                   "--retry \"99ms\" (command line) is out of range; allowed: 100ms to 1h");
    assert_refuses(w, LIST("sse-relay"), LIST("SSE_RELAY_MAX_AGE=31d"),
                   "--max-age \"31d\" (environment variable SSE_RELAY_MAX_AGE) is out of range; "
                   "allowed: 0 (never), or 100ms to 30d");
    assert_file_refused(w, "{\"outbox_limit\": \"256kB\"}", "--outbox-limit \"256kB\" (file ",
                        ") does not end in a unit that is known; allowed: 1KiB to 1GiB");
    assert_refuses(w, ARGS("--workers=-1"), NONE,
                   "--workers \"-1\" (command line) is not a whole number; allowed: 0 (one per "
                   "core), or 1 to 64");
    assert_refuses(w, ARGS("--log-level", "loud"), NONE,
                   "--log-level \"loud\" (command line) is not among the choices; allowed: debug, "
                   "info, warn or error");
    assert_refuses(w, ARGS("--demo=maybe"), NONE,
                   "--demo \"maybe\" (command line) is neither true nor false; allowed: true or "
                   "false");
    assert_refuses(w, ARGS("--no-demo=true"), NONE,
                   "--demo \"true\" (command line) takes no value in this form; allowed: true or "
                   "false");
    assert_refuses(w, ARGS("--version=2"), NONE,
                   "--version \"2\" (command line) takes no value in this form; allowed: the name "
                   "alone");
    assert_refuses(w, ARGS("--prefix"), NONE,
                   "--prefix (command line) has no value; allowed: 1 to 64 letters, digits, _ . or "
                   "-");
    assert_refuses(w, ARGS("--listen", "8080"), NONE,
                   "--listen \"8080\" (command line) has no port; allowed: HOST:PORT, [IPV6]:PORT, "
                   ":PORT for all addresses, "
                   "each with https:// before it for TLS, or unix:PATH; "
                   "proxy+ before any of it for the PROXY protocol");
    assert_refuses(w, ARGS("now"), NONE,
                   "the argument \"now\" belongs to no option; --help lists all");
}

static void test_unknown_names(void **state) {
    struct world *w = *state;
    assert_refuses(w, ARGS("--hartbeat=5s"), NONE,
                   "--hartbeat is no option; did you mean --heartbeat?");
    assert_refuses(w, ARGS("-redis", "x"), NONE, "-redis is no option; did you mean --redis?");
    assert_refuses(w, ARGS("--max_age=1h"), NONE,
                   "--max_age is no option; did you mean --max-age?");
    assert_refuses(w, ARGS("--no-retry"), NONE, "--no-retry is no option; --help lists all");
    assert_refuses(w, ARGS("--frobnicate"), NONE, "--frobnicate is no option; --help lists all");
    assert_refuses(w, ARGS("--"), NONE, "-- is no option; --help lists all");
    assert_refuses(w, LIST("sse-relay"), LIST("SSE_RELAY_WORKRES=1"),
                   "the environment variable SSE_RELAY_WORKRES is no option; did you mean "
                   "SSE_RELAY_WORKERS?");
    assert_refuses(w, LIST("sse-relay"), LIST("SSE_RELAY_HELP=1"),
                   "the environment variable SSE_RELAY_HELP is no option; --help lists all");
    assert_refuses(w, LIST("sse-relay"), LIST("SSE_RELAY_PORT=8080"),
                   "the environment variable SSE_RELAY_PORT is no option; --help lists all");
    assert_file_refused(w, "{\"max-age\": 0}", "max-age in the file ",
                        " is no option; did you mean max_age?");
    assert_file_refused(w, "{\"config\": \"x\"}", "config in the file ",
                        " is no option; --help lists all");
}

static void test_environment_that_is_not_ours(void **state) {
    struct world *w = *state;
    /* What Kubernetes sets in every pod beside the services "sse-relay" and "sse-relay-redis". */
    assert_runs(w, LIST("sse-relay"),
                LIST("SSE_RELAY_SERVICE_HOST=10.0.0.1", "SSE_RELAY_SERVICE_PORT=80",
                     "SSE_RELAY_SERVICE_PORT_HTTP=80", "SSE_RELAY_PORT=tcp://10.0.0.1:80",
                     "SSE_RELAY_PORT_80_TCP=tcp://10.0.0.1:80", "SSE_RELAY_PORT_80_TCP_PROTO=tcp",
                     "SSE_RELAY_PORT_80_TCP_PORT=80", "SSE_RELAY_PORT_80_TCP_ADDR=10.0.0.1",
                     "SSE_RELAY_REDIS_SERVICE_HOST=10.0.0.2", "SSE_RELAY_REDIS_PORT=tcp://x:1",
                     "SSE_RELAY_HEARTBEAT=", "SSE_RELAY_LISTEN", "SSE_RELAYS=1"));
    assert_string_equal(w->config.redis_url, "redis://127.0.0.1:6379");
    assert_int_equal(w->config.heartbeat_ms, 15000);
}

static void test_mistakes_do_not_hide_behind_other_sources(void **state) {
    struct world *w = *state;
    assert_refuses(w, ARGS("--retry=1s"), LIST("SSE_RELAY_RETRY=1"),
                   "--retry \"1\" (environment variable SSE_RELAY_RETRY) has no unit; allowed: "
                   "100ms to 1h");
    assert_runs(w, ARGS("--listen=:1", "--prefix=a"),
                LIST("SSE_RELAY_LISTEN=:2,:3", "SSE_RELAY_PREFIX=b"));
    assert_int_equal(w->config.listen.len, 1);
    assert_int_equal(w->config.listen.items[0].port, 1);
}

static void test_file_types(void **state) {
    struct world *w = *state;
    assert_file_runs(w, "{\"workers\": 2, \"send_buffer\": 8192, \"drain\": 0, \"demo\": true,"
                        " \"max_topics\": \"9\", \"embedded_redis\": \"off\"}");
    assert_int_equal(w->config.workers, 2);
    assert_int_equal(w->config.send_buffer, 8192);
    assert_int_equal(w->config.drain_ms, 0);
    assert_true(w->config.demo);
    assert_int_equal(w->config.max_topics, 9);
    assert_file_refused(
        w, "{\"workers\": 1.5}", "--workers \"1.5\" (file ",
        ") does not end in a unit that is known; allowed: 0 (one per core), or 1 to "
        "64");
    assert_file_refused(w, "{\"workers\": true}", "--workers \"true\" (file ",
                        ") is not a whole number; allowed: 0 (one per core), or 1 to 64");
    assert_file_refused(
        w, "{\"workers\": [1]}", "--workers (file ",
        ") is an array, but takes one value; allowed: 0 (one per core), or 1 to 64");
    assert_file_refused(
        w, "{\"prefix\": null}", "the file ",
        " has null as \"prefix\": text, a number, true, false or an array is needed");
    assert_file_refused(w, "{\"prefix\": {}}", "the file ",
                        " has an object as \"prefix\": text, a number, true, false or an array is "
                        "needed");
    assert_file_refused(w, "{\"listen\": [{}]}", "the file ",
                        " has an element of \"listen\" that is neither text nor number");
    assert_file_refused(w, "[1]", "the file ", " holds no JSON object");
}

static void test_files_that_cannot_be_read(void **state) {
    struct world *w = *state;
    char sentence[TEXT_BYTES];
    snprintf(sentence, sizeof(sentence), "the file %s cannot be read: No such file or directory",
             w->file);
    assert_refuses(w, ARGS("--config", w->file), NONE, sentence);
    snprintf(sentence, sizeof(sentence), "the file %s cannot be read: Is a directory",
             w->directory);
    assert_refuses(w, ARGS("--config", w->directory), NONE, sentence);
    assert_refuses(w, ARGS("--config="), NONE,
                   "--config \"\" (command line) is empty; allowed: the path of a JSON file");

    write_file(w->file, "{\n  \"redis\": \"redis://:hunter2@h\"\n  \"demo\": true\n}");
    assert_int_equal(load(w, ARGS("--config", w->file), NONE), CONFIG_EXIT_USAGE);
    assert_non_null(strstr(w->message.data, "is not valid JSON at line 3, column "));
    assert_int_equal(load_file(w, "{\"retry\": \"1s\", \"retry\": \"2s\"}"), CONFIG_EXIT_USAGE);
    assert_int_equal(load_file(w, ""), CONFIG_EXIT_USAGE);

    FILE *file = fopen(w->file, "w");
    assert_non_null(file);
    for (int i = 0; i < 1100; i++)
        fprintf(file, "%1024s", "");
    fclose(file);
    assert_int_equal(load(w, ARGS("--config", w->file), NONE), CONFIG_EXIT_USAGE);
    assert_non_null(strstr(w->message.data, " is larger than 1MiB\n"));
}

/* Whether option @o takes @value and @unit, by itself: the options that bound it are out of its
 * way.
 */
static bool takes(struct world *w, const struct option *o, uint64_t value, const char *unit) {
    char argument[128];
    snprintf(argument, sizeof(argument), "--%s=%llu%s", o->name, (unsigned long long)value, unit);
    enum config_action action = load(w, ARGS(argument),
                                     LIST("SSE_RELAY_TTL=1s", "SSE_RELAY_MEMORY=365d",
                                          "SSE_RELAY_TOKEN_KEY=file", "SSE_RELAY_PUBLISH_RATE=1"));
    assert_true(action == CONFIG_RUN || strstr(w->message.data, "is out of range") != NULL);
    return action == CONFIG_RUN;
}

static void test_every_range(void **state) {
    struct world *w = *state;
    size_t len, seen = 0;
    const struct option *table = option_table(&len);
    for (const struct option *o = table; o < table + len; o++) {
        const char *unit = o->kind == OPTION_DURATION ? "ms" : "";
        if (o->max == 0)
            continue;
        seen++;
        assert_true(takes(w, o, o->min, unit));
        assert_true(takes(w, o, o->max, unit));
        assert_false(takes(w, o, o->max + 1, unit));
        assert_int_equal(takes(w, o, 0, ""), o->min == 0 || o->zero_means != NULL);
        assert_true(o->min <= 1 || !takes(w, o, o->min - 1, unit));
        assert_false(takes(w, o, 999999999999999, unit));
        assert_false(takes(w, o, UINT64_MAX, unit));
        assert_true(o->kind != OPTION_DURATION || !takes(w, o, 999999999999999, "d"));
        assert_true(o->kind != OPTION_SIZE || !takes(w, o, 999999999999999, "GiB"));
    }
    assert_true(seen > 10);
}

static void test_secrets_are_not_shown(void **state) {
    struct world *w = *state;
    char *redis[] = {"redis://:hunter2@h:x",
                     "redis://u:hunter2@h/x",
                     "redis:/u:hunter2@h",
                     "http://u:hunter2@h",
                     "redis://:hunter2",
                     "u:hunter2@h",
                     "redis://:hun@hunter2@h:0:0",
                     "unix:?password=hunter2",
                     "unix:/a?passwrd=1&password=hunter2&db=1"};
    for (size_t i = 0; i < sizeof(redis) / sizeof(redis[0]); i++) {
        assert_int_equal(load(w, ARGS("--redis", redis[i]), NONE), CONFIG_EXIT_USAGE);
        assert_non_null(strstr(w->message.data, "***"));
        assert_null(strstr(w->message.data, "hunter2"));
        assert_int_equal(load(w, ARGS(redis[i]), NONE), CONFIG_EXIT_USAGE);
        assert_null(strstr(w->message.data, "hunter2"));
    }
    assert_int_equal(load(w, ARGS("--redsi=redis://:hunter2@h"), NONE), CONFIG_EXIT_USAGE);
    assert_null(strstr(w->message.data, "hunter2"));
    assert_int_equal(load_file(w, "{\"redis\": \"redis://:hunter2@h\" \"demo\": true}"),
                     CONFIG_EXIT_USAGE);
    assert_null(strstr(w->message.data, "hunter2"));
    assert_int_equal(load_file(w, "{\"demo\": true \"redis://:hunter2@h\"}"), CONFIG_EXIT_USAGE);
    assert_null(strstr(w->message.data, "hunter2"));
    assert_int_equal(load(w, ARGS("--print-config", "--redis=redis://u:hunter2@h:1/2"), NONE),
                     CONFIG_EXIT_OK);
    assert_null(strstr(w->message.data, "hunter2"));
    assert_non_null(strstr(w->message.data, "\"redis\": \"redis://***@h:1/2\",\n"));
}

static void test_embedded_redis_excludes_another(void **state) {
    struct world *w = *state;
    assert_refuses(w, ARGS("--embedded-redis"), LIST("SSE_RELAY_REDIS=redis://u:hunter2@h"),
                   "--embedded-redis (command line) starts a Redis of its own, and --redis "
                   "\"redis://***@h\" (environment variable SSE_RELAY_REDIS) names another; "
                   "allowed: one of the two");
    assert_runs(w, ARGS("--no-embedded-redis"), LIST("SSE_RELAY_REDIS=redis://h"));
}

static void test_no_event_outlives_the_memory(void **state) {
    struct world *w = *state;
    assert_refuses(w, ARGS("--ttl=8d"), LIST("SSE_RELAY_MEMORY=2h"),
                   "--ttl (command line) is longer than --memory (environment variable "
                   "SSE_RELAY_MEMORY); allowed: no event outlives the memory");
    assert_refuses(w, ARGS("--memory=30m"), NONE,
                   "--ttl is longer than --memory (command line); allowed: no event outlives the "
                   "memory");
    assert_runs(w, ARGS("--ttl=2h", "--memory=2h", "--history=7"), NONE);
    assert_int_equal(w->config.ttl_ms, 7200000);
    assert_int_equal(w->config.memory_ms, 7200000);
    assert_int_equal(w->config.history, 7);
}

/* A limit that would be no limit is a mistake. */
static void test_limits_that_limit_nothing(void **state) {
    struct world *w = *state;
    assert_refuses(w, ARGS("--publish-burst=9"), NONE,
                   "--publish-burst (command line) is nothing without a rate; allowed: beside "
                   "--publish-rate");
    assert_refuses(w, ARGS("--max-failed-tokens=9"), NONE,
                   "--max-failed-tokens (command line) is nothing without a key for tokens; "
                   "allowed: beside --token-secret-file, --token-key or "
                   "--token-jwks-url");
    assert_refuses(w, NONE, LIST("SSE_RELAY_MAX_CONNECTIONS_PER_SUBJECT=9"),
                   "--max-connections-per-subject (environment variable "
                   "SSE_RELAY_MAX_CONNECTIONS_PER_SUBJECT) is nothing without a key for tokens; "
                   "allowed: beside --token-secret-file, --token-key or "
                   "--token-jwks-url");
    assert_runs(w, ARGS("--publish-burst=9", "--publish-rate=3", "--max-failed-tokens=7"),
                LIST("SSE_RELAY_TOKEN_KEY=file"));
    assert_int_equal(w->config.publish_rate, 3);
    assert_int_equal(w->config.publish_burst, 9);
    assert_int_equal(w->config.max_failed_tokens, 7);
}

static void test_whose_proxy_header_is_believed(void **state) {
    struct world *w = *state;
    assert_runs(w,
                ARGS("--listen=proxy+https://:1,proxy+unix:/s", "--tls-cert=c", "--tls-key=k",
                     "--trusted-proxies=10.0.0.0/8, unix", "--client-header=forwarded"),
                NONE);
    assert_true(w->config.listen.items[0].proxied && w->config.listen.items[0].tls);
    assert_string_equal(w->config.listen.items[1].path, "/s");
    assert_strings(&w->config.trusted_proxies, LIST("10.0.0.0/8", "unix"));
    assert_int_equal(w->config.client_header, CONFIG_FORWARDED);
    assert_runs(w, ARGS(NULL), NONE);
    assert_int_equal(w->config.client_header, CONFIG_X_FORWARDED_FOR);
    assert_refuses(w, ARGS("--listen=proxy+:80"), NONE,
                   "--listen \"proxy+:80\" (command line) needs to know whose PROXY protocol is "
                   "believed; allowed: beside --trusted-proxies NETWORK, such as 10.0.0.0/8");
    assert_refuses(w, ARGS("--listen=proxy+unix:/s", "--trusted-proxies=loopback"), NONE,
                   "--listen \"proxy+unix:/s\" (command line) needs to know whose PROXY protocol "
                   "is believed; allowed: beside --trusted-proxies unix");
    assert_int_equal(load(w, ARGS("--admin-listen=proxy+:80", "--trusted-proxies=loopback"), NONE),
                     CONFIG_EXIT_USAGE);
    assert_refuses(w, ARGS("--trusted-proxies=10.0.0.1/8"), NONE,
                   "--trusted-proxies \"10.0.0.1/8\" (command line) is no network: bits behind its "
                   "prefix length are set; allowed: an address, a network such as 10.0.0.0/8, "
                   "loopback, private, or unix");
}

static void test_star_stands_alone(void **state) {
    struct world *w = *state;
    assert_runs(w, ARGS("--cors-origin=*"), NONE);
    assert_strings(&w->config.cors_origins, LIST("*"));
    assert_refuses(w, ARGS("--cors-origin=http://a,*"), NONE,
                   "--cors-origin \"*\" (command line) stands beside other origins; allowed: "
                   "SCHEME://HOST[:PORT], or * alone for every origin, without credentials");
}

static void test_actions(void **state) {
    struct world *w = *state;
    assert_int_equal(load(w, ARGS("--check-config", "--listen=:6"), NONE), CONFIG_CHECK_FILES);
    assert_int_equal(w->config.listen.items[0].port, 6);
    assert_int_equal(load(w, ARGS("--check-config", "--retry=1"), NONE), CONFIG_EXIT_USAGE);
    assert_int_equal(load(w, ARGS("--version"), NONE), CONFIG_EXIT_OK);
    assert_string_equal(w->message.data, "sse-relay " SSE_VERSION "\n");
    /* What the asking of a relay needs is its whole configuration. */
    assert_int_equal(load(w, ARGS("--check-health", "--listen=:7"), NONE), CONFIG_CHECK_HEALTH);
    assert_int_equal(w->config.listen.items[0].port, 7);
    assert_int_equal(load(w, ARGS("--check-ready"), LIST("SSE_RELAY_ADMIN_LISTEN=:8")),
                     CONFIG_CHECK_READY);
    assert_int_equal(w->config.admin_listen.port, 8);
    assert_int_equal(load(w, ARGS("--check-ready", "--retry=1"), NONE), CONFIG_EXIT_USAGE);
    /* Help is given even to who has something else wrong. */
    assert_int_equal(load(w, ARGS("-h", "--nonsense"), LIST("SSE_RELAY_X=")), CONFIG_EXIT_OK);
}

static void test_nothing_is_handed_out_but_to_run(void **state) {
    struct world *w = *state;
    struct config before, out;
    memset(&before, 0x5a, sizeof(before));
    out = before;
    assert_int_equal(config_load(&out, 2, ARGS("--print-config", "--listen=:1"), NONE, &w->message),
                     CONFIG_EXIT_OK);
    assert_int_equal(config_load(&out, 3, ARGS("--listen=:1", "--retry=1"), NONE, &w->message),
                     CONFIG_EXIT_USAGE);
    assert_memory_equal(&out, &before, sizeof(out));
}

static void test_printed_configuration_reads_back(void **state) {
    struct world *w = *state;
    char **args = ARGS("--print-config", "--listen=:1,unix:/a", "--admin-listen=[::1]:2", "--demo",
                       "--heartbeat=90s", "--max-topics=9", "--outbox-limit=3000",
                       "--cors-origin=http://a,http://b", "--log-level=warn");
    assert_int_equal(load(w, args, NONE), CONFIG_EXIT_OK);
    char *printed = buf_detach(&w->message);
    assert_non_null(strstr(printed, "\"listen\": [\":1\", \"unix:/a\"],\n"));
    assert_non_null(strstr(printed, "\"heartbeat\": \"90s\",\n"));
    write_file(w->file, printed);
    assert_int_equal(load(w, ARGS("--print-config", "--config", w->file), NONE), CONFIG_EXIT_OK);
    assert_string_equal(w->message.data, printed);
    assert_runs(w, ARGS("--config", w->file), NONE);
    assert_int_equal(w->config.outbox_limit, 3000);
    assert_int_equal(w->config.admin_listen.port, 2);
    free(printed);
}

static void test_help_is_complete_and_short(void **state) {
    struct world *w = *state;
    assert_int_equal(load(w, ARGS("--help"), NONE), CONFIG_EXIT_OK);
    size_t len, lines = 0;
    const struct option *table = option_table(&len);
    for (const struct option *o = table; o < table + len; o++) {
        char name[64];
        snprintf(name, sizeof(name), "\n  --%s ", o->name);
        assert_non_null(strstr(w->message.data, name));
    }
    for (const char *line = w->message.data; *line != '\0'; lines++) {
        size_t width = strcspn(line, "\n");
        assert_true(width <= 100);
        line += width + 1;
    }
    assert_true(lines <= 120);
}

static void test_reference_page_is_true(void **state) {
    struct world *w = *state;
    char page[1 << 15];
    FILE *file = fopen("relay/config/OPTIONS.md", "r");
    assert_non_null(file); /* tests run in the root of the source */
    page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(load(w, ARGS("--generate", "markdown"), NONE), CONFIG_EXIT_OK);
    assert_non_null(strstr(page, "| never (`0`) |")); /* --max-age: a zero is told as in --help */
    if (strcmp(page, w->message.data) != 0)
        fail_msg("relay/config/OPTIONS.md differs from the options: run `make docs`");
}

int main(void) {
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_defaults),
        TEST(test_command_line_forms),
        TEST(test_last_value_on_the_command_line_counts),
        TEST(test_precedence),
        TEST(test_lists),
        TEST(test_sentences),
        TEST(test_unknown_names),
        TEST(test_environment_that_is_not_ours),
        TEST(test_mistakes_do_not_hide_behind_other_sources),
        TEST(test_file_types),
        TEST(test_files_that_cannot_be_read),
        TEST(test_every_range),
        TEST(test_secrets_are_not_shown),
        TEST(test_embedded_redis_excludes_another),
        TEST(test_no_event_outlives_the_memory),
        TEST(test_limits_that_limit_nothing),
        TEST(test_whose_proxy_header_is_believed),
        TEST(test_star_stands_alone),
        TEST(test_actions),
        TEST(test_nothing_is_handed_out_but_to_run),
        TEST(test_printed_configuration_reads_back),
        TEST(test_help_is_complete_and_short),
        TEST(test_reference_page_is_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
