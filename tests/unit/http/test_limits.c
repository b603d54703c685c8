/* Limits of one client: what is counted as one, and what is given back. */
#include "relay/http/limits.h"

#include <string.h>

#include "relay/base/ip_address.h"
#include "tests/unit/unit.h"

static uint64_t now_us;

static uint64_t now(void) {
    return now_us;
}

static uint64_t address_of(const char *text) {
    struct ip_address a;
    assert_true(ip_address_parse(text, strlen(text), &a));
    return ip_address_limit_key(&a);
}

static enum limits_place enter(struct limits *l, const char *text, struct tally_entry **held) {
    return limits_enter(l, address_of(text), held);
}

static struct subject subject_of(const char *text) {
    return (struct subject){text, strlen(text)};
}

static enum http_limit begin(struct limits *l, const char *who, const void *connection,
                             struct limits_stream **held) {
    struct subject subject = subject_of(who);
    return limits_begin_stream(l, &subject, 0, connection, held);
}

static uint64_t reached(const struct http_limit_metrics *m, enum http_limit limit) {
    return metric_get(&m->reached[limit]);
}

static void test_addresses(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {.now_us = now, .connections_per_address = 2};
    struct limits *l = limits_new(&o, &m);
    struct tally_entry *held[2 + LIMITS_ADDRESS_SURPLUS], *other, *none;
    (void)state;
    for (int i = 0; i < 2 + LIMITS_ADDRESS_SURPLUS; i++)
        assert_int_equal(enter(l, i % 2 ? "192.0.2.7" : "::ffff:192.0.2.7", &held[i]),
                         i < 2 ? LIMITS_PLACE : LIMITS_FULL);
    assert_int_equal(enter(l, "192.0.2.7", &none), LIMITS_CLOSE);
    assert_null(none);
    assert_int_equal(reached(&m, HTTP_LIMIT_ADDRESS_CONNECTIONS), LIMITS_ADDRESS_SURPLUS + 1);
    assert_int_equal(enter(l, "192.0.2.8", &other), LIMITS_PLACE);
    limits_leave(other);
    for (int i = 0; i < 2 + LIMITS_ADDRESS_SURPLUS; i++)
        limits_leave(held[i]);
    assert_int_equal(enter(l, "192.0.2.7", &held[0]), LIMITS_PLACE);
    limits_leave(held[0]);
    limits_free(l);
}

/* A client has a whole /64 of IPv6. */
static void test_ipv6_by_64(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {.now_us = now, .connections_per_address = 1};
    struct limits *l = limits_new(&o, &m);
    struct tally_entry *first, *second, *third;
    (void)state;
    assert_int_equal(enter(l, "2001:db8:0:1::1", &first), LIMITS_PLACE);
    assert_int_equal(enter(l, "2001:db8:0:1:ffff:ffff:ffff:ffff", &second), LIMITS_FULL);
    assert_int_equal(enter(l, "2001:db8:0:2::1", &third), LIMITS_PLACE);
    limits_leave(first), limits_leave(second), limits_leave(third);
    limits_free(l);
}

static void test_streams_of_a_subject(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {.now_us = now, .streams_per_subject = 2};
    struct limits *l = limits_new(&o, &m);
    struct limits_stream *a, *b, *c, *d;
    (void)state;
    assert_int_equal(begin(l, "7", &o, &a), HTTP_LIMITS);
    assert_int_equal(begin(l, "7", &o, &b), HTTP_LIMITS);
    assert_int_equal(begin(l, "7", &o, &c), HTTP_LIMIT_SUBJECT_STREAMS);
    assert_null(c);
    assert_int_equal(begin(l, "8", &o, &d), HTTP_LIMITS);
    limits_end_stream(a);
    assert_int_equal(begin(l, "7", &o, &a), HTTP_LIMITS);
    assert_int_equal(begin(l, "", &o, &c), HTTP_LIMITS); /* nobody: not counted */
    assert_null(c);
    assert_int_equal(reached(&m, HTTP_LIMIT_SUBJECT_STREAMS), 1);
    limits_end_stream(a), limits_end_stream(b), limits_end_stream(d), limits_end_stream(NULL);
    limits_free(l);
}

/* Of clients behind a proxy each stream stands for a connection, beside those who connect. */
static void test_streams_that_were_forwarded(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {
        .now_us = now, .connections_per_address = 3, .streams_per_subject = 1};
    struct limits *l = limits_new(&o, &m);
    struct subject nobody = {NULL, 0}, seven = subject_of("7");
    uint64_t address = address_of("192.0.2.7"), other = address_of("192.0.2.8");
    struct limits_stream *a, *b, *c, *d;
    struct tally_entry *connection;
    (void)state;
    assert_int_equal(limits_begin_stream(l, &nobody, address, &o, &a), HTTP_LIMITS);
    assert_int_equal(limits_begin_stream(l, &seven, address, &o, &b), HTTP_LIMITS);
    assert_int_equal(enter(l, "192.0.2.7", &connection), LIMITS_PLACE);
    assert_int_equal(limits_begin_stream(l, &nobody, address, &o, &c),
                     HTTP_LIMIT_ADDRESS_CONNECTIONS);
    assert_null(c);
    assert_int_equal(limits_begin_stream(l, &nobody, other, &o, &c), HTTP_LIMITS);
    limits_end_stream(a);
    /* What another limit refuses gives the place of its address back. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(limits_begin_stream(l, &seven, address, &o, &a),
                         HTTP_LIMIT_SUBJECT_STREAMS);
    assert_int_equal(limits_begin_stream(l, &nobody, address, &o, &d), HTTP_LIMITS);
    limits_end_stream(b), limits_end_stream(c), limits_end_stream(d);
    limits_leave(connection);
    limits_free(l);
}

/* Streams on one connection count as one; the connection is the subject's until the last of them
 * has ended. */
static void test_connections_of_a_subject(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {
        .now_us = now, .connections_per_subject = 2, .streams_per_subject = 10};
    struct limits *l = limits_new(&o, &m);
    char one, two, three;
    struct limits_stream *a[3], *b, *c, *all[10];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(begin(l, "7", &one, &a[i]), HTTP_LIMITS);
    assert_int_equal(begin(l, "7", &two, &b), HTTP_LIMITS);
    assert_int_equal(begin(l, "7", &three, &c), HTTP_LIMIT_SUBJECT_CONNECTIONS);
    assert_null(c);
    assert_int_equal(begin(l, "8", &three, &c), HTTP_LIMITS); /* somebody else on it */
    limits_end_stream(c);
    limits_end_stream(a[0]), limits_end_stream(a[2]);
    assert_int_equal(begin(l, "7", &three, &c), HTTP_LIMIT_SUBJECT_CONNECTIONS);
    limits_end_stream(a[1]);
    assert_int_equal(begin(l, "7", &three, &c), HTTP_LIMITS);
    limits_end_stream(b), limits_end_stream(c);
    /* A refusal gave its place among the streams back: all ten are there. */
    for (int i = 0; i < 10; i++)
        assert_int_equal(begin(l, "7", &one, &all[i]), HTTP_LIMITS);
    assert_int_equal(reached(&m, HTTP_LIMIT_SUBJECT_CONNECTIONS), 2);
    for (int i = 0; i < 10; i++)
        limits_end_stream(all[i]);
    limits_free(l);
}

static void test_publishes(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {.now_us = now, .publish_rate = 1, .publish_burst = 3};
    struct limits *l = limits_new(&o, &m);
    struct subject seven = subject_of("7"), nobody = {NULL, 0};
    uint64_t address = address_of("192.0.2.7");
    (void)state;
    for (int i = 0; i < 3; i++) { /* whoever has a subject is counted by it alone */
        assert_int_equal(limits_publish(l, &seven, address), 0);
        assert_int_equal(limits_publish(l, &nobody, address), 0);
    }
    assert_int_equal(limits_publish(l, &seven, address), 1); /* whole seconds, never 0 */
    assert_int_equal(limits_publish(l, &nobody, address), 1);
    now_us += 999999;
    assert_int_equal(limits_publish(l, &seven, address), 1);
    now_us += 1;
    assert_int_equal(limits_publish(l, &seven, address), 0);
    assert_int_equal(limits_publish(l, &nobody, 0), 0); /* by a unix socket */
    assert_int_equal(reached(&m, HTTP_LIMIT_PUBLISH_RATE), 3);
    limits_free(l);
}

static void test_failed_tokens(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {.now_us = now, .failed_tokens = 2};
    struct limits *l = limits_new(&o, &m);
    uint64_t address = address_of("192.0.2.7"), other = address_of("192.0.2.8");
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(limits_token(l, address), 0);
        limits_token_failed(l, address);
    }
    assert_int_equal(limits_token(l, address), 30); /* two a minute */
    assert_int_equal(limits_token(l, other), 0);
    assert_int_equal(limits_token(l, 0), 0);
    now_us += 30 * 1000 * 1000;
    assert_int_equal(limits_token(l, address), 0);
    limits_free(l);
}

static void test_newcomers(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {.now_us = now, .accept_rate = 1};
    struct limits *l = limits_new(&o, &m);
    (void)state;
    assert_true(limits_may_accept(l));
    assert_true(limits_may_accept(l)); /* asking takes nothing */
    limits_accepted(l);
    assert_false(limits_may_accept(l));
    assert_int_equal(reached(&m, HTTP_LIMIT_ACCEPT_RATE), 1);
    now_us += 1000 * 1000;
    assert_true(limits_may_accept(l));
    limits_free(l);
}

/* What is 0, or has no limits at all, is not limited. */
static void test_none(void **state) {
    struct http_limit_metrics m = {0};
    struct limits_options o = {.now_us = now};
    struct limits *all[] = {limits_new(&o, &m), NULL};
    uint64_t address = address_of("192.0.2.7");
    struct subject seven = subject_of("7");
    (void)state;
    for (int n = 0; n < 2000; n++) {
        struct limits *l = all[n % 2];
        struct tally_entry *held;
        struct limits_stream *stream;
        assert_true(limits_may_accept(l));
        limits_accepted(l);
        assert_int_equal(limits_enter(l, address, &held), LIMITS_PLACE);
        assert_null(held);
        assert_int_equal(limits_begin_stream(l, &seven, address, &o, &stream), HTTP_LIMITS);
        assert_null(stream);
        assert_int_equal(limits_publish(l, &seven, address), 0);
        assert_int_equal(limits_token(l, address), 0);
        limits_token_failed(l, address);
        limits_tick(l);
    }
    limits_reached(NULL, HTTP_LIMIT_TOPICS);
    for (int i = 0; i < HTTP_LIMITS; i++)
        assert_int_equal(reached(&m, (enum http_limit)i), 0);
    limits_free(all[0]);
    limits_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ipv6_by_64),
        cmocka_unit_test(test_streams_of_a_subject),
        cmocka_unit_test(test_streams_that_were_forwarded),
        cmocka_unit_test(test_connections_of_a_subject),
        cmocka_unit_test(test_publishes),
        cmocka_unit_test(test_failed_tokens),
        cmocka_unit_test(test_newcomers),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
