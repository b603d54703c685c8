/* A domain's clock and logs, as a Redis, or something that calls itself one, tells them. */
#include <string.h>

#include "publisher-cli/inspect/domain.h"
#include "relay/base/err.h"
#include "relay/redis/parser.h"
#include "relay/redis/reply.h"
#include "tests/unit/unit.h"

/* The reply that @resp is, until the next one. */
static const struct redisReply *parse(struct redis_parser *p, const char *resp) {
    const struct redisReply *reply = NULL;
    assert_int_equal(redis_parser_feed(p, resp, strlen(resp)), RELAY_OK);
    assert_int_equal(redis_parser_next(p, &reply), RELAY_OK);
    assert_non_null(reply);
    return reply;
}

static struct domain domain_of(const char *resp) {
    struct redis_parser p;
    struct domain d;
    redis_parser_init(&p);
    domain_read(&d, parse(&p, resp));
    redis_parser_fini(&p);
    return d;
}

#define FIELD(name_len, name, value_len, value)                                                    \
    "$" #name_len "\r\n" name "\r\n$" #value_len "\r\n" value "\r\n"
#define BORN FIELD(5, "birth", 4, "abc1") FIELD(5, "epoch", 2, "12")
#define PLACES FIELD(2, "ms", 4, "1000") FIELD(3, "seq", 1, "7") FIELD(6, "from:1", 5, "500-3")

static void test_clock(void **state) {
    (void)state;
    struct domain d =
        domain_of("*14\r\n" BORN PLACES FIELD(3, "run", 2, "r1") FIELD(6, "from:2", 1, "x"));
    assert_true(d.is_born);
    assert_null(d.wrong);
    assert_string_equal(d.now.birth, "abc1");
    assert_string_equal(d.run, "r1");
    assert_int_equal(d.now.epoch, 12);
    assert_int_equal(d.now.ms, 1000);
    assert_int_equal(d.now.seq, 7);
    assert_int_equal(d.born.ms, 500);
    assert_int_equal(d.born.seq, 3);
}

static void test_no_clock(void **state) {
    (void)state;
    static const char *const none[] = {"*0\r\n", "+OK\r\n", ":1\r\n", "$-1\r\n", "-ERR no\r\n"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_false(domain_of(none[i]).is_born);
}

static void test_broken_clock(void **state) {
    (void)state;
    static const char *const broken[] = {
        "*2\r\n:1\r\n:2\r\n",
        "*2\r\n" FIELD(5, "birth", 4, "abc1"),
        "*2\r\n" FIELD(5, "epoch", 1, "1"),
        "*4\r\n" FIELD(5, "birth", 4, "ABC1") FIELD(5, "epoch", 1, "1"),
        "*4\r\n" FIELD(5, "birth", 4, "ab.1") FIELD(5, "epoch", 1, "1"),
        "*4\r\n" FIELD(5, "birth", 17, "abcdefghijklmnopq") FIELD(5, "epoch", 1, "1"),
        "*4\r\n" FIELD(5, "birth", 0, "") FIELD(5, "epoch", 1, "1"),
        "*4\r\n" FIELD(5, "birth", 4, "abc1") FIELD(5, "epoch", 2, "1x"),
        "*6\r\n" BORN FIELD(2, "ms", 20, "10000000000000000000"),
        "*6\r\n" BORN FIELD(6, "from:1", 3, "5-x"),
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct domain d = domain_of(broken[i]);
        assert_true(d.is_born);
        assert_non_null(d.wrong);
    }
}

static enum log_entry_kind kind_of(const char *resp, struct log_entry *entry) {
    struct domain d = domain_of("*10\r\n" BORN PLACES);
    struct redis_parser p;
    redis_parser_init(&p);
    enum log_entry_kind kind = log_entry_read(&d, parse(&p, resp), entry);
    redis_parser_fini(&p); /* the texts of the entry are gone */
    return kind;
}

#define ENTRY(id_len, id, fields_len, fields)                                                      \
    "*2\r\n$" #id_len "\r\n" id "\r\n*" #fields_len "\r\n" fields
#define E FIELD(1, "e", 2, "{}")
#define P FIELD(1, "p", 1, "0")
#define G FIELD(1, "g", 2, "11")

static void test_entries(void **state) {
    (void)state;
    static const struct {
        const char *resp;
        enum log_entry_kind kind;
    } all[] = {
        {ENTRY(5, "501-0", 6, E P G), LOG_ENTRY_EVENT},
        {ENTRY(5, "500-4", 8, FIELD(1, "x", 1, "y") G P E), LOG_ENTRY_EVENT},
        {ENTRY(5, "501-0", 6, E FIELD(1, "p", 12, "abc1.1.rs-36") G), LOG_ENTRY_EVENT},
        {ENTRY(5, "500-3", 6, E P G), LOG_ENTRY_OLDER},
        {ENTRY(3, "9-9", 2, FIELD(1, "x", 1, "y")), LOG_ENTRY_OLDER},
        {ENTRY(5, "501-0", 4, E P), LOG_ENTRY_BROKEN},
        {ENTRY(5, "501-0", 4, E G), LOG_ENTRY_BROKEN},
        {ENTRY(5, "501-0", 4, P G), LOG_ENTRY_BROKEN},
        {ENTRY(5, "501-0", 6, E FIELD(1, "p", 1, "1") G), LOG_ENTRY_BROKEN},
        {ENTRY(5, "501-0", 6, E P FIELD(1, "g", 1, "z")), LOG_ENTRY_BROKEN},
        {ENTRY(5, "501-0", 2, ":1\r\n:2\r\n"), LOG_ENTRY_BROKEN},
        {"*2\r\n$5\r\n501-0\r\n*-1\r\n", LOG_ENTRY_BROKEN},
        {ENTRY(3, "501", 6, E P G), LOG_ENTRY_NONE},
        {ENTRY(4, "501-", 6, E P G), LOG_ENTRY_NONE},
        {"*2\r\n:501\r\n*0\r\n", LOG_ENTRY_NONE},
        {"*1\r\n$5\r\n501-0\r\n", LOG_ENTRY_NONE},
        {"*0\r\n", LOG_ENTRY_NONE},
        {"$5\r\n501-0\r\n", LOG_ENTRY_NONE},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct log_entry entry;
        if (kind_of(all[i].resp, &entry) != all[i].kind)
            fail_msg("%s", all[i].resp);
        if (all[i].kind == LOG_ENTRY_EVENT)
            assert_int_equal(entry.id.epoch, 11);
    }
}

static void test_time(void **state) {
    (void)state;
    static const struct {
        const char *resp;
        uint64_t us;
    } all[] = {
        {"*2\r\n$2\r\n12\r\n$1\r\n5\r\n", 12000005},
        {"*2\r\n$2\r\n12\r\n:5\r\n", 0},
        {"*2\r\n$2\r\n12\r\n$7\r\n1000000\r\n", 0},
        {"*2\r\n$19\r\n9999999999999999999\r\n$1\r\n5\r\n", 0},
        {"*1\r\n$2\r\n12\r\n", 0},
        {"-ERR\r\n", 0},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct redis_parser p;
        redis_parser_init(&p);
        assert_int_equal(time_read(parse(&p, all[i].resp)), all[i].us);
        redis_parser_fini(&p);
    }
}

static void test_decimals(void **state) {
    (void)state;
    uint64_t n = 5;
    assert_true(decimal_read("0", 1, &n));
    assert_int_equal(n, 0);
    assert_true(decimal_read("9999999999999999999", 19, &n));
    assert_true(n == UINT64_C(9999999999999999999));
    assert_false(decimal_read("", 0, &n));
    assert_false(decimal_read("-1", 2, &n));
    assert_false(decimal_read("10000000000000000000", 20, &n));
    assert_true(n == UINT64_C(9999999999999999999));
    assert_true(place_compare(&(struct place){1, 2}, &(struct place){1, 3}) < 0);
    assert_true(place_compare(&(struct place){2, 0}, &(struct place){1, 3}) > 0);
    assert_int_equal(place_compare(&(struct place){1, 3}, &(struct place){1, 3}), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock),        cmocka_unit_test(test_no_clock),
        cmocka_unit_test(test_broken_clock), cmocka_unit_test(test_entries),
        cmocka_unit_test(test_time),         cmocka_unit_test(test_decimals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
