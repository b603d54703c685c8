/* What kind of server answers, from INFO of real ones. */
#include "relay/redis/server.h"
#include "tests/unit/unit.h"

static void test_redis(void **state) {
    (void)state;
    struct redis_server_info s;
    redis_server_read("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:ab12\r\n"
                      "maxmemory:1048576\r\nmaxmemory_policy:allkeys-lru\r\nevicted_keys:34\r\n"
                      "role:master\r\n",
                      &s);
    assert_string_equal(s.name, "Redis");
    assert_string_equal(s.version, "7.0.15");
    assert_string_equal(s.mode, "standalone");
    assert_string_equal(s.run_id, "ab12");
    assert_int_equal(s.role, REDIS_ROLE_MASTER);
    assert_int_equal(s.evicted_keys, 34);
    assert_true(redis_server_may_evict(&s));
    assert_false(s.is_too_old);
}

static void test_valkey(void **state) {
    (void)state;
    struct redis_server_info s;
    redis_server_read("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n"
                      "server_mode:cluster\r\nrole:slave\r\nmaster_host:10.0.0.1\r\n"
                      "master_port:6380\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n",
                      &s);
    assert_string_equal(s.name, "Valkey");
    assert_string_equal(s.version, "8.1.1");
    assert_string_equal(s.mode, "cluster");
    assert_int_equal(s.role, REDIS_ROLE_REPLICA);
    assert_string_equal(s.master_host, "10.0.0.1");
    assert_string_equal(s.master_port, "6380");
    assert_false(redis_server_may_evict(&s)); /* there is no limit */
}

static void test_age(void **state) {
    (void)state;
    static const struct {
        const char *info;
        bool is_too_old;
    } ages[] = {{"redis_version:6.0.16\r\n", true},
                {"redis_version:5.0.14\r\n", true},
                {"redis_version:6.2.0\r\n", false},
                {"redis_version:10.0.0\r\n", false},
                {"redis_version:255.255.255\r\n", false}, /* of a branch that is not released */
                {"redis_version:unstable\r\n", false},
                {"redis_mode:standalone\r\n", false}, /* not told */
                {"", false}};
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        struct redis_server_info s;
        redis_server_read(ages[i].info, &s);
        assert_int_equal(s.is_too_old, ages[i].is_too_old);
        assert_int_equal(s.role, REDIS_ROLE_UNKNOWN);
        assert_false(redis_server_may_evict(&s));
    }
}

static void test_log_excess(void **state) {
    (void)state;
    assert_int_equal(redis_server_log_excess(100, 4096), 100);
    assert_int_equal(redis_server_log_excess(10000, 4096), 205);
    assert_int_equal(redis_server_log_excess(0, 4096), 205);
    assert_int_equal(redis_server_log_excess(5000, 0), 5000);
    assert_true(redis_server_log_excess(0, 0) == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis),
        cmocka_unit_test(test_valkey),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_log_excess),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
