/* What doctor makes of facts that no server in the tests can easily be brought to tell. */
#include <string.h>

#include "publisher-cli/inspect/doctor_checks.h"
#include "tests/unit/unit.h"

/* The worst finding of one check. */
struct worst {
    const char *check;
    enum level level;
    unsigned count;
    char text[700], advice[700];
};

static void on_finding(void *arg, const struct finding *f) {
    struct worst *w = arg;
    if (strcmp(f->check, w->check) != 0)
        return;
    if (w->count++ > 0 && f->level <= w->level)
        return;
    w->level = f->level;
    snprintf(w->text, sizeof(w->text), "%s", f->text);
    snprintf(w->advice, sizeof(w->advice), "%s", f->advice != NULL ? f->advice : "");
}

static struct worst judge(const struct facts *f, const char *check) {
    struct worst worst = {.check = check};
    checks_run(f, on_finding, &worst);
    assert_true(worst.count > 0);
    return worst;
}

static struct facts facts_with(const char *info) {
    return (struct facts){.prefix = "sse",
                          .address = "redis://x",
                          .user = "default",
                          .info = {.text = (char *)(uintptr_t)info}};
}

static void assert_level(const char *info, const char *check, enum level level) {
    struct facts f = facts_with(info);
    struct worst worst = judge(&f, check);
    if (worst.level != level)
        fail_msg("%s of %s: %s", check, info, worst.text);
}

static void test_info(void **state) {
    (void)state;
    static const struct {
        const char *info, *check;
        enum level level;
    } all[] = {
        {"redis_version:8.2.1\r\n", "version", LEVEL_OK},
        {"redis_version:7.0.0", "version", LEVEL_OK},
        {"redis_version:6.2.14\r\n", "version", LEVEL_WARN},
        {"redis_version:6.0.16\r\n", "version", LEVEL_FAIL},
        {"redis_version:7.2.4\r\nvalkey_version:8.1.1\r\n", "version", LEVEL_OK},
        {"redis_version:5.0.3\r\n", "version", LEVEL_FAIL},
        {"redis_version:unstable\r\n", "version", LEVEL_WARN},
        {"", "version", LEVEL_SKIP},
        {"x_role:master\r\n", "role", LEVEL_SKIP},
        {"role:master\r\n", "role", LEVEL_OK},
        {"role:sentinel\r\n", "role", LEVEL_SKIP},
        {"aof_enabled:0\r\n", "persistence", LEVEL_WARN},
        {"aof_enabled:1\r\n", "persistence", LEVEL_OK},
        {"rdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\n", "disk", LEVEL_FAIL},
        {"rdb_last_bgsave_status:ok\r\naof_last_bgrewrite_status:err\r\n", "disk", LEVEL_WARN},
        {"used_memory:80\r\nmaxmemory:0\r\ntotal_system_memory:100\r\n", "memory", LEVEL_WARN},
        {"used_memory:20\r\nmaxmemory:0\r\ntotal_system_memory:100\r\n", "memory", LEVEL_OK},
        {"used_memory:899\r\nmaxmemory:1000\r\n", "memory", LEVEL_OK},
        {"used_memory:900\r\nmaxmemory:1000\r\n", "memory", LEVEL_WARN},
        {"used_memory:1000\r\nmaxmemory:1000\r\n", "memory", LEVEL_FAIL},
        {"used_memory:1000\r\nmaxmemory:1000\r\nmem_not_counted_for_evict:500\r\n", "memory",
         LEVEL_OK},
        {"used_memory:-5\r\nmaxmemory:1000\r\n", "memory", LEVEL_SKIP},
        {"maxmemory_policy:allkeys-lfu\r\n", "eviction", LEVEL_FAIL},
        {"maxmemory_policy:allkeys-lfu\r\nmaxmemory:0\r\n", "eviction", LEVEL_WARN},
        {"connected_slaves:1\r\nslave0:ip=::1,port=1,state=online,offset=1,lag=11\r\n", "replicas",
         LEVEL_WARN},
        {"connected_slaves:1\r\nslave0:ip=::1,port=1,state=wait_bgsave,offset=1,lag=0\r\n",
         "replicas", LEVEL_WARN},
        {"connected_slaves:9999999999\r\n", "replicas", LEVEL_WARN},
        {"connected_clients:90\r\nmaxclients:100\r\n", "clients", LEVEL_WARN},
        {"connected_clients:90\r\n", "clients", LEVEL_SKIP},
        {"cluster_enabled:1\r\n", "cluster", LEVEL_WARN},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_level(all[i].info, all[i].check, all[i].level);
}

/* A replica's address, an IPv6 one too, in a URL that can be given. */
static void test_the_masters_address(void **state) {
    (void)state;
    struct facts f = facts_with("role:slave\r\nmaster_host:fd00::1\r\nmaster_port:6380\r\n");
    assert_string_equal(judge(&f, "role").advice, "--redis redis://[fd00::1]:6380");
}

/* Valkey says server_mode, and goes by its own name. */
static void test_valkey(void **state) {
    (void)state;
    struct facts f = facts_with("redis_version:7.2.4\r\nvalkey_version:8.1.1\r\n");
    assert_string_equal(judge(&f, "version").text, "Valkey 8.1.1");
    f = facts_with("redis_version:7.2.4\r\nvalkey_version:8.1.1\r\nserver_mode:sentinel\r\n");
    assert_true(facts_is_sentinel(&f));
}

/* A log keeps up to a node of its tree more than it is told. */
static void test_logs(void **state) {
    (void)state;
    static const struct {
        const char *entries, *bytes, *word;
        enum level level;
    } all[] = {
        {"100", "4096", "at most 100 events", LEVEL_OK},  {"0", "4096", "at most 205", LEVEL_OK},
        {"10000", "0", "up to 10000 events", LEVEL_WARN}, {"0", "0", "hardly ever", LEVEL_WARN},
        {"0", "1000000", "up to 50001", LEVEL_WARN},      {"x", NULL, "", LEVEL_SKIP}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct facts f = facts_with("");
        f.settings[SETTING_NODE_ENTRIES].text = (char *)(uintptr_t)all[i].entries;
        f.settings[SETTING_NODE_BYTES].text = (char *)(uintptr_t)all[i].bytes;
        struct worst worst = judge(&f, "logs");
        if (worst.level != all[i].level || strstr(worst.text, all[i].word) == NULL)
            fail_msg("%s, %s: %s", all[i].entries, all[i].bytes, worst.text);
    }
}

/* An epoch an hour is a restart now and then; ten of them are a fault. */
static void test_many_epochs(void **state) {
    (void)state;
    struct facts f = facts_with("");
    f.redis_ms = 2000 * 1000;
    f.domain = (struct domain){
        .is_born = true, .now = {.birth = "b", .epoch = 1900, .ms = 5}, .epochs_lately = 9};
    assert_int_equal(judge(&f, "clock").level, LEVEL_OK);
    f.domain.epochs_lately = 10;
    assert_int_equal(judge(&f, "clock").level, LEVEL_WARN);
    f.redis_ms += 48 * 3600 * 1000; /* the last one began long ago */
    assert_int_equal(judge(&f, "clock").level, LEVEL_OK);
}

static void test_output_buffer(void **state) {
    (void)state;
    static const struct {
        const char *value;
        enum level level;
    } all[] = {
        {"normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", LEVEL_WARN},
        {"normal 0 0 0 slave 0 0 0 pubsub 268435456 67108864 60", LEVEL_OK},
        {"pubsub 0 8388608 60", LEVEL_WARN},
        {"pubsub 0 0 0", LEVEL_OK},
        {"pubsub 0 0", LEVEL_SKIP},
        {"pubsub x y z", LEVEL_SKIP},
        {"", LEVEL_SKIP},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct facts f = facts_with("");
        f.settings[SETTING_OUTPUT_BUFFER].text = (char *)(uintptr_t)all[i].value;
        struct worst worst = judge(&f, "output-buffer");
        if (worst.level != all[i].level)
            fail_msg("%s: %s", all[i].value, worst.text);
    }
}

/* What the round trip leaves open counts for the clock. */
static void test_time(void **state) {
    (void)state;
    static const struct {
        int64_t skew_ms;
        uint64_t within_ms;
        enum level level;
    } all[] = {
        {0, 1, LEVEL_OK},           {1001, 1, LEVEL_OK},      {1002, 1, LEVEL_WARN},
        {-1002, 1, LEVEL_WARN},     {1500, 600, LEVEL_OK},    {60002, 1, LEVEL_FAIL},
        {-60002, 1, LEVEL_FAIL},    {60002, 100, LEVEL_WARN}, {INT64_MIN, 1, LEVEL_FAIL},
        {INT64_MAX, 1, LEVEL_FAIL},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct facts f = facts_with("");
        f.redis_ms = 1;
        f.skew_ms = all[i].skew_ms;
        f.skew_within_ms = all[i].within_ms;
        assert_int_equal(judge(&f, "time").level, all[i].level);
    }
}

/* Nothing was answered at all: each check is skipped, or knows nothing bad; none is silent. */
static void test_nothing(void **state) {
    (void)state;
    struct facts f = facts_with("");
    f.info.text = NULL;
    f.info.refusal = (char *)(uintptr_t) "NOPERM no";
    static const char *const skipped[] = {
        "version",   "role",    "cluster",  "persistence",    "disk",        "memory",
        "eviction",  "logs",    "replicas", "output-buffer",  "clients",     "timeout",
        "keepalive", "scripts", "time",     "publish-rights", "relay-rights"};
    for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++)
        assert_int_equal(judge(&f, skipped[i]).level, LEVEL_SKIP);
    assert_non_null(strstr(judge(&f, "memory").text, "NOPERM no"));
}

/* What does something to a terminal does not get there, and JSON is UTF-8. */
static void test_foreign_words(void **state) {
    (void)state;
    struct facts f = facts_with("redis_version:7.0\x1b[2J\xc3\xbc\r\nrole:m\xffster\r\n");
    assert_string_equal(judge(&f, "version").text, "Redis 7.0?[2J\xc3\xbc");
    assert_string_equal(judge(&f, "role").text, "INFO tells no role: m?ster");
}

static void test_rights(void **state) {
    (void)state;
    static const struct {
        const char *error;
        enum right_answer answer;
    } all[] = {
        {"NOPERM this user has no permissions to run the 'get' command", RIGHT_NO_COMMAND},
        {"NOPERM User u has no permissions to run the 'get' command", RIGHT_NO_COMMAND},
        {"NOPERM this user has no permissions to run the 'get' command or its subcommand",
         RIGHT_NO_COMMAND},
        {"NOPERM this user has no permissions to access one of the keys used as arguments",
         RIGHT_NO_KEY},
        {"NOPERM No permissions to access a key", RIGHT_NO_KEY},
        {"NOPERM this user has no permissions to access one of the channels used as arguments",
         RIGHT_NO_CHANNEL},
        {"NOPERM No permissions to access a channel", RIGHT_NO_CHANNEL},
        {"ERR unknown command `XADD`, with args beginning with: ", RIGHT_NO_COMMAND},
        {"ERR unknown subcommand 'LOAD'. Try SCRIPT HELP.", RIGHT_NO_COMMAND},
        {"ERR Unknown subcommand or wrong number of arguments for 'load'", RIGHT_NO_COMMAND},
        {"ERR syntax error", RIGHT_GRANTED},
        {"NOSCRIPT No matching script.", RIGHT_GRANTED},
        {"READONLY You can't write against a read only replica.", RIGHT_GRANTED},
        {"MOVED 1 a:1", RIGHT_GRANTED},
        {"", RIGHT_GRANTED},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_int_equal(right_judge(all[i].error), all[i].answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),          cmocka_unit_test(test_the_masters_address),
        cmocka_unit_test(test_valkey),        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_many_epochs),   cmocka_unit_test(test_output_buffer),
        cmocka_unit_test(test_time),          cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_foreign_words), cmocka_unit_test(test_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
