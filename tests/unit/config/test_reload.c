/* What a reload takes over, and what it tells: config_reload(). */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "relay/config/config.h"
#include "relay/config/option_table.h"
#include "tests/unit/unit.h"

struct world {
    struct config running;
    struct buf message;
    enum log_level level;
};

static struct config_sources sources(char **args) {
    int argc = 0;
    while (args[argc] != NULL)
        argc++;
    return (struct config_sources){.argc = argc, .argv = args};
}

#define ARGS(...) ((char *[]){"sse-relay", __VA_ARGS__, NULL})

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    struct config_sources s = sources(ARGS("--redis", "redis://u:old@127.0.0.1", "--cors-origin",
                                           "https://a.example", "--listen", "127.0.0.1:0",
                                           "--admin-listen", "127.0.0.1:1", "--prefix", "one"));
    assert_int_equal(config_load(&w->running, s.argc, s.argv, NULL, &w->message), CONFIG_RUN);
    w->level = LOG_LEVEL_INFO;
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    config_fini(&w->running);
    buf_fini(&w->message);
    free(w);
    return 0;
}

/* Reload with one option behind what @w runs with; @changed are those that it has to name. */
static void assert_changed(struct world *w, char *option, char *value, const char *changed) {
    struct config_sources s = sources(
        ARGS("--redis", "redis://u:old@127.0.0.1", "--cors-origin", "https://a.example", "--listen",
             "127.0.0.1:0", "--admin-listen", "127.0.0.1:1", "--prefix", "one", option, value));
    assert_int_equal(config_reload(&w->running, &s, &w->level, &w->message), RELAY_OK);
    assert_string_equal(w->message.data != NULL ? w->message.data : "", changed);
}

static void test_nothing_changed(void **state) {
    assert_changed(*state, NULL, NULL, "");
}

static void test_each_kind_of_option_that_changed_is_named(void **state) {
    assert_changed(*state, "--demo=true", NULL, "demo");                         /* a flag */
    assert_changed(*state, "--workers", "7", "workers");                         /* a number */
    assert_changed(*state, "--heartbeat", "16s", "heartbeat");                   /* a time */
    assert_changed(*state, "--outbox-limit", "2MiB", "outbox_limit");            /* a size */
    assert_changed(*state, "--log-format", "json", "log_format");                /* a choice */
    assert_changed(*state, "--prefix", "two", "prefix");                         /* a text */
    assert_changed(*state, "--cors-origin", "https://b.example", "cors_origin"); /* texts */
    assert_changed(*state, "--admin-listen", "127.0.0.1:2", "admin_listen");     /* an address */
    assert_changed(*state, "--listen", "127.0.0.1:3", "listen");                 /* addresses */
}

static void test_a_changed_secret_is_named_and_not_shown(void **state) {
    assert_changed(*state, "--redis", "redis://u:new@127.0.0.1", "redis");
}

static void test_the_log_level_is_given_back(void **state) {
    struct world *w = *state;
    assert_changed(w, "--log-level", "debug", "");
    assert_int_equal(w->level, LOG_LEVEL_DEBUG);
    assert_int_equal(w->running.log_level, LOG_LEVEL_INFO);
}

static void test_what_cannot_be_used_changes_nothing(void **state) {
    struct world *w = *state;
    struct config_sources s = sources(ARGS("--log-level", "debug", "--heartbeat", "1"));
    assert_int_equal(config_reload(&w->running, &s, &w->level, &w->message), RELAY_EINVAL);
    assert_int_equal(w->level, LOG_LEVEL_INFO);
    assert_int_equal(strncmp(w->message.data, "--heartbeat \"1\" (command line)", 30), 0);
}

/* Nobody writes into this one any more, and opening it would wait for whoever does. */
static void test_a_pipe_is_not_read_again(void **state) {
    struct world *w = *state;
    char path[] = "/tmp/sse-relay-reload-XXXXXX";
    assert_non_null(mkdtemp(path));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct config_sources s = sources(ARGS("--config", path));
    free(w->running.file);
    w->running.file = strdup(path);
    int rc = config_reload(&w->running, &s, &w->level, &w->message);
    unlink(path);
    assert_int_equal(rc, RELAY_EINVAL);
    assert_non_null(strstr(w->message.data, path));
    assert_non_null(strstr(w->message.data, "no regular file"));
}

/* Whoever adds an option that is reloaded has to take it over in app.c. */
static void test_which_options_are_reloaded(void **state) {
    (void)state;
    size_t len;
    const struct option *table = option_table(&len);
    for (const struct option *o = table; o < table + len; o++)
        assert_int_equal(o->is_reloaded, strcmp(o->name, "log-level") == 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_nothing_changed),
        TEST(test_each_kind_of_option_that_changed_is_named),
        TEST(test_a_changed_secret_is_named_and_not_shown),
        TEST(test_the_log_level_is_given_back),
        TEST(test_what_cannot_be_used_changes_nothing),
        TEST(test_a_pipe_is_not_read_again),
        TEST(test_which_options_are_reloaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
