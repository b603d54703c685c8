/* Publishing durable events: the command, the answer, the errors. What the script does is tested
 * against a real Redis. */
#include "relay/wire/publish_script.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/unit/unit.h"

#define ID "b1rth.1.m2z9xk-10"
#define SHA "0123456789abcdef0123456789abcdef01234567"

static const struct publish_topic topics[] = {{"a", 1}, {"gr\xc3\xbc", 4}};

/* What every request has. */
static struct publish_request request(size_t topics_count) {
    return (struct publish_request){.prefix = "sse",
                                    .topics = topics,
                                    .topics_count = topics_count,
                                    .event = {.data = "hi", .data_len = 2},
                                    .run_id = "run",
                                    .birth = "b1rth"};
}

/* The arguments behind the first two are these, and there are no more. */
static void assert_arguments(const struct publish_command *c, const char *const *wanted) {
    for (int i = 2; i < c->argc; i++) {
        assert_non_null(wanted[i - 2]);
        assert_int_equal(c->argv_len[i], strlen(wanted[i - 2]));
        assert_memory_equal(c->argv[i], wanted[i - 2], c->argv_len[i]);
    }
    assert_null(wanted[c->argc - 2]);
}

static void check_command(const struct publish_request *r, const char *const *wanted) {
    struct publish_command c;
    publish_command_init(&c, r);
    assert_arguments(&c, wanted);
    publish_command_fini(&c);
}

static void a_command_has_keys_and_values_in_the_order_of_the_script(void **state) {
    (void)state;
    struct publish_request r = request(2);
    const char *const defaults[] = {"5",
                                    "sse:{0}:clock",
                                    "sse:{0}:log:a",
                                    "sse:{0}:last:a",
                                    "sse:{0}:log:gr\xc3\xbc",
                                    "sse:{0}:last:gr\xc3\xbc",
                                    "b1rth",
                                    "run",
                                    "604800000",
                                    "3600000",
                                    "1000",
                                    "{\"data\":\"hi\"}",
                                    "",
                                    "sse:a",
                                    "sse:gr\xc3\xbc",
                                    NULL};
    check_command(&r, defaults);

    r = request(1);
    r.prefix = "other";
    r.tag = "p7";
    r.event.name = "e";
    r.event.name_len = 1;
    r.event.retry_ms = 3000;
    r.history = 7;
    r.ttl_ms = 1000;
    r.memory_ms = 2000;
    r.key = "order 42!";
    r.key_len = 8;
    r.key_ttl_ms = 3000;
    const char *const all[] = {"4",
                               "other:{p7}:clock",
                               "other:{p7}:log:a",
                               "other:{p7}:last:a",
                               "other:{p7}:once:order 42",
                               "b1rth",
                               "run",
                               "2000",
                               "1000",
                               "7",
                               "{\"event\":\"e\",\"data\":\"hi\",\"retry\":3000}",
                               "3000",
                               "other:a",
                               NULL};
    check_command(&r, all);
    r.key_ttl_ms = 0;
    const char *with_default[sizeof(all) / sizeof(all[0])];
    memcpy(with_default, all, sizeof(all));
    with_default[11] = "300000";
    check_command(&r, with_default);
}

static void without_topics_there_is_the_clock_alone(void **state) {
    (void)state;
    struct publish_request r = request(0);
    r.event = (struct event){.name = NULL};
    r.key = "k";
    r.key_len = 1;
    const char *const wanted[] = {"1",       "sse:{0}:clock", "b1rth", "run", "604800000",
                                  "3600000", "1000",          "",      "",    NULL};
    check_command(&r, wanted);
}

static void a_command_of_many_events_has_them_behind_the_channels(void **state) {
    (void)state;
    static const struct publish_item items[] = {
        {1, {.data = "x", .data_len = 1}},
        {0, {.name = "e", .name_len = 1, .data = "y", .data_len = 1}},
        {1, {.data = "", .retry_ms = 3000}}};
    struct publish_request r = request(2);
    r.items = items;
    r.items_count = 3;
    r.key = "k";
    r.key_len = 1;
    const char *const wanted[] = {"6",
                                  "sse:{0}:clock",
                                  "sse:{0}:log:a",
                                  "sse:{0}:last:a",
                                  "sse:{0}:log:gr\xc3\xbc",
                                  "sse:{0}:last:gr\xc3\xbc",
                                  "sse:{0}:once:k",
                                  "b1rth",
                                  "run",
                                  "604800000",
                                  "3600000",
                                  "1000",
                                  "",
                                  "300000",
                                  "sse:a",
                                  "sse:gr\xc3\xbc",
                                  "2",
                                  "{\"data\":\"x\"}",
                                  "1",
                                  "{\"event\":\"e\",\"data\":\"y\"}",
                                  "2",
                                  "{\"data\":\"\",\"retry\":3000}",
                                  NULL};
    check_command(&r, wanted);
}

static void a_command_is_sent_by_text_or_by_hash(void **state) {
    (void)state;
    struct publish_command c;
    struct publish_request r = request(1);
    size_t len;
    const char *script = publish_script(&len);
    publish_command_init(&c, &r);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(c.argv_len[0], 4);
        assert_string_equal(c.argv[0], "EVAL");
        assert_ptr_equal(c.argv[1], script);
        assert_int_equal(c.argv_len[1], len);
        publish_command_use_sha(&c, SHA);
        assert_int_equal(c.argv_len[0], 7);
        assert_string_equal(c.argv[0], "EVALSHA");
        assert_int_equal(c.argv_len[1], 40);
        assert_string_equal(c.argv[1], SHA);
        publish_command_use_text(&c);
    }
    publish_command_fini(&c);
    assert_int_equal(c.argc, 0);
    assert_null(memchr(script, '\0', len)); /* text to its end */
    assert_memory_equal(script, "-- Publishes durable events", 27);
}

/* As many as a request may name, with all that is borrowed gone before it is sent. */
static void a_command_holds_copies(void **state) {
    (void)state;
    enum { MANY = 2000 };
    struct publish_topic *many = mem_zalloc(MANY * sizeof(*many));
    char name[TOPIC_MAX_BYTES];
    memset(name, 'x', sizeof(name));
    struct publish_command c;
    struct publish_request r = request(MANY);
    for (size_t i = 0; i < MANY; i++)
        many[i] = (struct publish_topic){name, 1 + i % TOPIC_MAX_BYTES};
    r.topics = many;
    r.key = name;
    r.key_len = PUBLISH_KEY_MAX_BYTES;
    publish_command_init(&c, &r);
    memset(name, 'y', sizeof(name));
    free(many);
    assert_int_equal(c.argc, 2 + 1 + (1 + 2 * MANY + 1) + 7 + MANY);
    assert_string_equal(c.argv[2], "4002");
    assert_string_equal(c.argv[4], "sse:{0}:log:x");
    assert_string_equal(c.argv[c.argc - MANY + 1], "sse:xx");
    publish_command_fini(&c);
}

static void keys_are_checked(void **state) {
    (void)state;
    char longest[PUBLISH_KEY_MAX_BYTES + 1];
    memset(longest, 'k', sizeof(longest));
    assert_null(publish_key_check("k", 1));
    assert_null(publish_key_check("with {} * and gr\xc3\xbc", 18));
    assert_null(publish_key_check(longest, PUBLISH_KEY_MAX_BYTES));
    assert_string_equal(publish_key_check(longest, sizeof(longest)), "is longer than 256 bytes");
    assert_string_equal(publish_key_check("", 0), "is empty");
    assert_string_equal(publish_key_check("a\nb", 3), "holds a control character");
    assert_string_equal(publish_key_check("a\0b", 3), "holds a control character");
    assert_string_equal(publish_key_check("\xff", 1), "is not valid UTF-8");
}

static void an_answer_is_read(void **state) {
    (void)state;
    struct publish_answer a;
    const char *id;
    size_t len;
    assert_int_equal(publish_answer_parse("1 0 " ID, 21, &a), RELAY_OK);
    assert_true(a.announced && !a.duplicate);
    assert_int_equal(a.ids_count, 1);
    assert_true(publish_answer_next(&a, &id, &len));
    assert_int_equal(len, 17);
    assert_memory_equal(id, ID, len);
    assert_false(publish_answer_next(&a, &id, &len));

    static const char three[] = "0 1 a.1.2-3 " ID " b.0.0-0";
    assert_int_equal(publish_answer_parse(three, sizeof(three) - 1, &a), RELAY_OK);
    assert_true(!a.announced && a.duplicate);
    assert_int_equal(a.ids_count, 3);
    static const char *const ids[] = {"a.1.2-3", ID, "b.0.0-0"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(publish_answer_next(&a, &id, &len));
        assert_int_equal(len, strlen(ids[i]));
        assert_memory_equal(id, ids[i], len);
    }
    assert_false(publish_answer_next(&a, &id, &len));
}

static void what_is_no_answer_is_refused_and_changes_nothing(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",         "1",        "1 0",       "1 0 ",         "1 0  " ID, "1 0 " ID " ",
        "1  0 " ID, " 1 0 " ID, "2 0 " ID,   "1 2 " ID,      "10 " ID,   "1 0 " ID "  " ID,
        "1 0 -",    "1 0 0",    "1 0 a.1.2", "1 0 " ID "\n", "OK",       "1,0," ID};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct publish_answer a = {.ids_count = 99};
        assert_int_equal(publish_answer_parse(bad[i], strlen(bad[i]), &a), RELAY_EPROTO);
        assert_int_equal(a.ids_count, 99);
    }
    static const char whole[] = "1 0 a.1.2-3";
    struct publish_answer a;
    for (size_t len = 0; len < sizeof(whole) - 1; len++)
        assert_int_equal(publish_answer_parse(whole, len, &a), RELAY_EPROTO);
}

/* Errors as servers of three generations word them. */
static void errors_are_told_apart(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum publish_error kind;
    } all[] = {
        {"NOSCRIPT No matching script. Please use EVAL.", PUBLISH_NOSCRIPT},
        {"SSECONFLICT the key was given to another publish", PUBLISH_CONFLICT},
        {"SSEEVENT no relay would deliver event 2: its JSON is not an object", PUBLISH_EVENT},
        {"SSETTL the time to live is above the memory of 5 ms", PUBLISH_TTL},
        {"WRONGTYPE Operation against a key holding the wrong kind of value script: 95c58a, on "
         "@user_script:77.",
         PUBLISH_WRONGTYPE},
        {"ERR Error running script (call to f_95c58a): @user_script:77: WRONGTYPE Operation "
         "against a key holding the wrong kind of value ",
         PUBLISH_WRONGTYPE},
        {"ERR Error running script (call to f_95c58a): @user_script:9: @user_script: 9: -OOM "
         "command not allowed when used memory > 'maxmemory'. ",
         PUBLISH_FULL},
        {"OOM command not allowed when used memory > 'maxmemory'.", PUBLISH_FULL},
        {"READONLY You can't write against a read only replica. script: 95, on @user_script:1.",
         PUBLISH_READONLY},
        {"ERR Error running script (call to f_9): @user_script:7: -READONLY You can't write "
         "against a read only replica. ",
         PUBLISH_READONLY},
        {"NOPERM this user has no permissions to run the 'evalsha' command", PUBLISH_DENIED},
        {"ERR The user executing the script can't run this command or subcommand script: 95, on "
         "@user_script:7.",
         PUBLISH_DENIED},
        {"ERR Error running script (call to f_9): @user_script:7: The user executing the script "
         "can't access at least one of the keys mentioned in the command arguments ",
         PUBLISH_DENIED},
        {"ERR ACL failure in script: User some has no permissions to run the 'xadd' command "
         "script: "
         "95, on @user_script:7.",
         PUBLISH_DENIED},
        {"ERR ACL failure in script: No permissions to access a key script: 95, on @user_script:7.",
         PUBLISH_DENIED},
        {"NOAUTH Authentication required.", PUBLISH_DENIED},
        {"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist "
         "on disk.",
         PUBLISH_UNSAVED},
        {"NOREPLICAS Not enough good replicas to write. script: 95, on @user_script:7.",
         PUBLISH_UNSAVED},
        {"LOADING Redis is loading the dataset in memory", PUBLISH_UNAVAILABLE},
        {"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
         PUBLISH_UNAVAILABLE},
        {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
         PUBLISH_UNAVAILABLE},
        {"CLUSTERDOWN The cluster is down", PUBLISH_UNAVAILABLE},
        {"TRYAGAIN Multiple keys request during rehashing of slot", PUBLISH_UNAVAILABLE},
        {"ERR max number of clients reached", PUBLISH_UNAVAILABLE},
        {"ERR unknown command 'EVALSHA'", PUBLISH_OTHER},
        {"ROOM OOMPH", PUBLISH_OTHER},
        {"BOOM no", PUBLISH_OTHER},
        {"", PUBLISH_OTHER},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_int_equal(publish_error_kind(all[i].text), all[i].kind);
}

/* All of them say what became of the event, but the one that cannot know. */
static void every_error_has_a_sentence(void **state) {
    (void)state;
    for (int kind = PUBLISH_NOSCRIPT; kind < PUBLISH_OTHER; kind++) {
        const char *text = publish_error_text((enum publish_error)kind);
        assert_non_null(strstr(text, "nothing was published"));
        assert_true(text[strlen(text) - 1] != '.');
        for (int other = PUBLISH_NOSCRIPT; other < kind; other++)
            assert_string_not_equal(text, publish_error_text((enum publish_error)other));
    }
    assert_string_equal(publish_error_text(PUBLISH_OTHER), "Redis refused the event");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_has_keys_and_values_in_the_order_of_the_script),
        cmocka_unit_test(without_topics_there_is_the_clock_alone),
        cmocka_unit_test(a_command_of_many_events_has_them_behind_the_channels),
        cmocka_unit_test(a_command_is_sent_by_text_or_by_hash),
        cmocka_unit_test(a_command_holds_copies),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(an_answer_is_read),
        cmocka_unit_test(what_is_no_answer_is_refused_and_changes_nothing),
        cmocka_unit_test(errors_are_told_apart),
        cmocka_unit_test(every_error_has_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
