/* Messages on a channel: what is read, what is refused, and that what we write is read back. */
#include "relay/wire/envelope.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/wire/id.h"
#include "tests/unit/unit.h"

static void decode(const char *message, size_t len, struct envelope *e) {
    const char *why = NULL;
    int rc = envelope_decode(message, len, e, &why);
    if (rc != RELAY_OK)
        fail_msg("%.*s: %d, %s", len < 200 ? (int)len : 200, message, rc, why ? why : "NULL");
}

/* @reason is a part of the sentence that must come back. The message is copied into a block of
 * exactly its size, so that a sanitizer sees a read past its end. */
static void assert_refused(const char *message, size_t len, const char *reason) {
    struct envelope e;
    const char *why = NULL;
    char *exact = malloc(len);
    assert_non_null(exact);
    memcpy(exact, message, len);
    memset(&e, 0x5a, sizeof(e));
    int rc = envelope_decode(exact, len, &e, &why);
    if (rc != RELAY_EINVAL || why == NULL || strstr(why, reason) == NULL)
        fail_msg("%.*s: %d, \"%s\" instead of \"%s\"", len < 200 ? (int)len : 200, message, rc,
                 why ? why : "NULL", reason);
    /* A sentence with its subject, since it stands alone in the log. */
    assert_true(strncmp(why, "the envelope ", 13) == 0 || strncmp(why, "the message ", 12) == 0);
    /* Nothing to free, and no event; whose it was is told where that could be read. */
    assert_null(e.event.data);
    assert_null(e.owned);
    assert_null(e.text);
    struct event_id id;
    assert_int_equal(e.durable, e.id != NULL);
    assert_true(!e.durable || id_parse(e.id, e.id_len, &id) == RELAY_OK);
    free(exact);
}

static void an_event_that_cannot_be_read_is_known_by_its_ids(void **state) {
    (void)state;
    static const char message[] = "sse1 b.1.2-3 b.1.1-0 {\"data\":3}";
    struct envelope e;
    const char *why;
    assert_int_equal(envelope_decode(message, strlen(message), &e, &why), RELAY_EINVAL);
    assert_true(e.durable);
    assert_int_equal(e.id_len, 7);
    assert_memory_equal(e.id, "b.1.2-3", 7);
    assert_int_equal(e.prev_len, 7);
    assert_memory_equal(e.prev, "b.1.1-0", 7);
}

static void assert_data(const struct envelope *e, const char *data, size_t len) {
    assert_int_equal(e->event.data_len, len);
    assert_memory_equal(e->event.data, data, len);
}

static void a_raw_message_is_the_data_of_a_live_event(void **state) {
    (void)state;
    static const char *const raw[] = {
        "hello",  "sse1", "sse1\t- - {}",     "SSE1 - - {}",     " sse1 - - {}",
        "sse2 x", "{}",   "\r\n\x01\xc2\x9b", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        struct envelope e;
        decode(raw[i], strlen(raw[i]), &e);
        assert_false(e.durable);
        assert_ptr_equal(e.event.data, raw[i]);
        assert_int_equal(e.event.data_len, strlen(raw[i]));
        assert_int_equal(e.event.name_len, 0);
        assert_int_equal(e.event.retry_ms, 0);
        envelope_fini(&e);
    }
}

static void an_empty_message_is_empty_data(void **state) {
    (void)state;
    struct envelope e;
    decode("", 0, &e);
    assert_data(&e, "", 0);
    envelope_fini(&e);
    decode(NULL, 0, &e);
    assert_non_null(e.event.data);
    assert_int_equal(e.event.data_len, 0);
    envelope_fini(&e);
    decode("a\0b", 3, &e);
    assert_data(&e, "a\0b", 3);
    envelope_fini(&e);
}

static void raw_messages_that_break_a_rule_are_refused(void **state) {
    (void)state;
    char *large = calloc(1, DATA_MAX_BYTES + 1);
    struct envelope e;
    assert_non_null(large);
    assert_refused("caf\xe9", 4, "UTF-8");
    assert_refused("\xed\xa0\x80", 3, "UTF-8");
    assert_refused(large, DATA_MAX_BYTES + 1, "1 MiB");
    decode(large, DATA_MAX_BYTES, &e);
    assert_int_equal(e.event.data_len, DATA_MAX_BYTES);
    envelope_fini(&e);
    free(large);
}

static void a_live_envelope_has_a_name_data_and_retry(void **state) {
    (void)state;
    const char *text = "sse1 - - {\"event\":\"tick\",\"data\":\"a\\u0000\\n\\ud83d\\ude00\","
                       "\"retry\":1500}";
    struct envelope e;
    decode(text, strlen(text), &e);
    assert_false(e.durable);
    assert_int_equal(e.event.name_len, 4);
    assert_memory_equal(e.event.name, "tick", 4);
    assert_data(&e, "a\0\n\xf0\x9f\x98\x80", 7);
    assert_int_equal(e.event.retry_ms, 1500);
    envelope_fini(&e);
    envelope_fini(&e);
    assert_null(e.owned);
}

static void a_durable_envelope_has_its_ids_too(void **state) {
    (void)state;
    const char *text = "sse1 b.1.m2z-0 b.0.m1a-zz {\"data\":\"\"}";
    struct envelope e;
    decode(text, strlen(text), &e);
    assert_true(e.durable);
    assert_ptr_equal(e.id, text + 5);
    assert_int_equal(e.id_len, strlen("b.1.m2z-0"));
    assert_ptr_equal(e.prev, text + 15);
    assert_int_equal(e.prev_len, strlen("b.0.m1a-zz"));
    assert_data(&e, "", 0);
    envelope_fini(&e);
    text = "sse1 b.1.m2z-0 c.9.z-z {\"data\":\"\"}"; /* births compare with nothing */
    decode(text, strlen(text), &e);
    assert_int_equal(e.prev_len, strlen("c.9.z-z"));
    envelope_fini(&e);
    text = "sse1 b.1.m2z-0 0 {\"data\":\"first\"}";
    decode(text, strlen(text), &e);
    assert_true(e.durable);
    assert_int_equal(e.prev_len, 1);
    assert_int_equal(e.prev[0], '0');
    envelope_fini(&e);
}

static void what_may_be_absent_or_is_unknown_does_not_matter(void **state) {
    (void)state;
    static const char *const json[] = {
        "{\"data\":\"d\"}",
        "{\"data\":\"d\",\"event\":null,\"retry\":null}",
        "{\"data\":\"d\",\"event\":\"\"}",
        "{\"\":1,\"new\":{\"data\":[1.5e3,true,{}]},\"data\":\"d\"}",
        "{ \"data\"\t:\r\n\"\\u0064\" } \n",
    };
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        struct buf b = BUF_INIT;
        struct envelope e;
        buf_printf(&b, "sse1 - - %s", json[i]);
        decode(b.data, b.len, &e);
        assert_data(&e, "d", 1);
        assert_int_equal(e.event.name_len, 0);
        assert_int_equal(e.event.retry_ms, 0);
        envelope_fini(&e);
        buf_fini(&b);
    }
}

static void fields_that_break_a_rule_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *fields;
        const char *reason;
    } bad[] = {
        {"", "cut short"},
        {"-", "cut short"},
        {"- ", "cut short"},
        {"- -", "cut short"},
        {"- {\"data\":\"\"}", "cut short"},
        {"- - ", "JSON"},
        {" - - {\"data\":\"\"}", "invalid id"},
        {"-  - {\"data\":\"\"}", "invalid id"},
        {"- -  {\"data\":\"\"}", "JSON"},
        {"-\t- {\"data\":\"\"} ", "invalid id"},
        {"- b.1.2-3 {\"data\":\"\"}", "invalid id"},
        {"b.1.2-3 - {\"data\":\"\"}", "invalid id"},
        {"- 0 {\"data\":\"\"}", "invalid id"},
        {"0 0 {\"data\":\"\"}", "invalid id"},
        {"0 b.1.2-3 {\"data\":\"\"}", "invalid id"},
        {"-- - {\"data\":\"\"}", "invalid id"},
        {"b.1.2-3 b.1.2 {\"data\":\"\"}", "invalid id"},
        {"b.1.2-3 00 {\"data\":\"\"}", "invalid id"},
        {"B.1.2-3 b.1.2-2 {\"data\":\"\"}", "invalid id"},
        {"b.1.2-3 b.1.2-3 {\"data\":\"\"}", "not before"},
        {"b.1.2-3 b.1.3-0 {\"data\":\"\"}", "not before"},
        {"b.1.2-3 b.2.1-0 {\"data\":\"\"}", "not before"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf b = BUF_INIT;
        buf_printf(&b, "sse1 %s", bad[i].fields);
        assert_refused(b.data, b.len, bad[i].reason);
        buf_fini(&b);
    }
}

static void json_that_breaks_a_rule_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *json;
        const char *reason;
    } bad[] = {
        {"[]", "object"},
        {"\"data\"", "object"},
        {"null", "object"},
        {"{", "JSON"},
        {"{}", "no data"},
        {"{\"data\":null}", "no data"},
        {"{\"data\":1}", "no data"},
        {"{\"data\":[\"d\"]}", "no data"},
        {"{\"Data\":\"d\"}", "no data"},
        {"{\"data\":\"d\"", "JSON"},
        {"{\"data\":\"d\"}x", "JSON"},
        {"{\"data\":\"d\"}{}", "JSON"},
        {"{\"data\":\"d\",}", "JSON"},
        {"{data:\"d\"}", "JSON"},
        {"{'data':'d'}", "JSON"},
        {"{\"data\":\"a\nb\"}", "JSON"},
        {"{\"data\":\"\xff\"}", "JSON"},
        {"{\"data\":\"\xed\xa0\x80\"}", "JSON"},
        {"{\"data\":\"\\ud800\"}", "JSON"},
        {"{\"data\":\"\\udc00\\ud800\"}", "JSON"},
        {"{\"data\":\"\\x41\"}", "JSON"},
        {"{\"data\":\"a\",\"data\":\"b\"}", "JSON"},
        {"{\"new\":1,\"data\":\"a\",\"new\":2}", "JSON"},
        {"{\"data\":\"d\",\"event\":1}", "event"},
        {"{\"data\":\"d\",\"event\":\"error\"}", "event"},
        {"{\"data\":\"d\",\"event\":\"relay.live\"}", "event"},
        {"{\"data\":\"d\",\"event\":\"a\\nid: 1\"}", "event"},
        {"{\"data\":\"d\",\"event\":\"a\\u0000\"}", "event"},
        {"{\"data\":\"d\",\"retry\":\"1000\"}", "retry"},
        {"{\"data\":\"d\",\"retry\":1000.0}", "retry"},
        {"{\"data\":\"d\",\"retry\":0}", "retry"},
        {"{\"data\":\"d\",\"retry\":99}", "retry"},
        {"{\"data\":\"d\",\"retry\":-1000}", "retry"},
        {"{\"data\":\"d\",\"retry\":3600001}", "retry"},
        {"{\"data\":\"d\",\"retry\":4294968296}", "retry"},
        {"{\"data\":\"d\",\"retry\":99999999999999999999}", "JSON"},
        {"{\"data\":\"d\",\"retry\":true}", "retry"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf b = BUF_INIT;
        buf_printf(&b, "sse1 - - %s", bad[i].json);
        assert_refused(b.data, b.len, bad[i].reason);
        buf_fini(&b);
    }
}

static void no_message_that_is_cut_or_damaged_is_taken_for_whole(void **state) {
    (void)state;
    const char *text = "sse1 b.1.2-3 0 {\"event\":\"e\",\"data\":\"d\\u00e9\",\"retry\":1000}";
    size_t len = strlen(text);
    for (size_t cut = strlen("sse1 "); cut < len; cut++)
        assert_refused(text, cut, "");
    for (size_t i = 0; i < len; i++) {
        char damaged[128];
        memcpy(damaged, text, len);
        damaged[i] = '\xff';
        assert_refused(damaged, len, "");
    }
}

/* Data of which JSON writes each byte as six must pass, or a publisher would be told that an event
 * was published which every relay then drops. */
static void the_largest_data_passes_however_it_is_written(void **state) {
    (void)state;
    char *data = mem_zalloc(DATA_MAX_BYTES + 1);
    for (int fill = 0; fill < 2; fill++) {
        struct buf b = BUF_INIT;
        struct envelope e;
        memset(data, fill == 0 ? '\x01' : 'x', DATA_MAX_BYTES + 1);
        struct event event = {.data = data, .data_len = DATA_MAX_BYTES, .retry_ms = RETRY_MAX_MS};
        envelope_encode_live(&b, &event);
        assert_true(b.len <= MESSAGE_MAX_BYTES);
        decode(b.data, b.len, &e);
        assert_data(&e, data, DATA_MAX_BYTES);
        envelope_fini(&e);
        buf_fini(&b);
    }
    struct buf b = BUF_INIT;
    struct event event = {.data = data, .data_len = DATA_MAX_BYTES + 1};
    envelope_encode_live(&b, &event);
    assert_refused(b.data, b.len, "1 MiB");
    buf_fini(&b);
    free(data);
}

static void a_huge_message_is_refused_unread(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    buf_puts(&b, "sse1 - - {\"data\":\"d\"");
    size_t spaces = MESSAGE_MAX_BYTES - 1 - b.len;
    memset(buf_reserve(&b, spaces), ' ', spaces);
    b.len += spaces;
    buf_putc(&b, '}');
    struct envelope e;
    decode(b.data, b.len, &e);
    envelope_fini(&e);
    b.data[b.len - 1] = ' ';
    buf_putc(&b, '}');
    assert_refused(b.data, b.len, "too long");
    buf_fini(&b);
}

static void deep_json_is_refused_before_it_exhausts_the_stack(void **state) {
    (void)state;
    static const char *const opening[] = {"[", "{\"a\":"};
    for (size_t i = 0; i < 2; i++) {
        struct buf b = BUF_INIT;
        buf_puts(&b, "sse1 - - {\"data\":\"d\",\"x\":");
        for (int depth = 0; depth < 1000000; depth++)
            buf_puts(&b, opening[i]);
        assert_refused(b.data, b.len, "JSON");
        buf_fini(&b);
    }
}

/* Append a random character, often one that JSON or SSE treats in its own way. */
static void put_random_character(struct buf *b, struct rng *r) {
    static const char *const special[] = {"\"", "\\",   "\r",       "\n", "\t",
                                          "/",  "\x7f", "\xc2\x85", ":"};
    static const uint32_t limits[] = {0x80, 0x800, 0x10000, 0x110000};
    uint32_t code = (uint32_t)rng_below(r, limits[rng_below(r, 4)]);
    if (rng_below(r, 4) == 0) {
        buf_puts(b, special[rng_below(r, sizeof(special) / sizeof(special[0]))]);
    } else if (code < 0x80) {
        buf_putc(b, (char)code);
    } else if (code < 0x800) {
        buf_putc(b, (char)(0xc0 | code >> 6));
        buf_putc(b, (char)(0x80 | (code & 0x3f)));
    } else if (code >= 0x10000) {
        buf_putc(b, (char)(0xf0 | code >> 18));
        buf_putc(b, (char)(0x80 | (code >> 12 & 0x3f)));
        buf_putc(b, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_putc(b, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0xd800 || code > 0xdfff) {
        buf_putc(b, (char)(0xe0 | code >> 12));
        buf_putc(b, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_putc(b, (char)(0x80 | (code & 0x3f)));
    }
}

static void what_is_written_is_read_back(void **state) {
    (void)state;
    struct rng r = {.state = 99}; /* the same events in every run */
    struct buf data = BUF_INIT, name = BUF_INIT, message = BUF_INIT;
    int named = 0;
    for (int i = 0; i < 5000; i++) {
        buf_reset(&data);
        buf_reset(&name);
        buf_reset(&message);
        for (uint64_t n = rng_below(&r, 60); n > 0; n--)
            put_random_character(&data, &r);
        for (uint64_t n = rng_below(&r, 5); n > 0; n--)
            put_random_character(&name, &r);
        if (event_name_check(name.data, name.len) != NULL)
            buf_reset(&name);
        struct event event = {.name = name.data,
                              .name_len = name.len,
                              .data = data.data,
                              .data_len = data.len,
                              .retry_ms =
                                  rng_below(&r, 2) ? 0 : 100 + (uint32_t)rng_below(&r, 3599901)};
        envelope_encode_live(&message, &event);
        struct envelope e;
        decode(message.data, message.len, &e);
        assert_false(e.durable);
        assert_data(&e, data.len > 0 ? data.data : "", data.len);
        assert_int_equal(e.event.name_len, name.len);
        if (name.len > 0)
            assert_memory_equal(e.event.name, name.data, name.len);
        assert_int_equal(e.event.retry_ms, event.retry_ms);
        envelope_fini(&e);
        named += name.len > 0;
    }
    assert_true(named > 1000);
    buf_fini(&data);
    buf_fini(&name);
    buf_fini(&message);
}

static void what_is_not_set_is_not_written(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    struct event event = {.data = NULL};
    envelope_encode_live(&b, &event);
    assert_string_equal(b.data, "sse1 - - {\"data\":\"\"}");
    buf_reset(&b);
    event =
        (struct event){.name = "n", .name_len = 1, .data = "d\n", .data_len = 2, .retry_ms = 100};
    envelope_encode_live(&b, &event);
    assert_string_equal(b.data, "sse1 - - {\"event\":\"n\",\"data\":\"d\\n\",\"retry\":100}");
    buf_fini(&b);
}

/* It is no event, and says of itself why; of a live one that means nothing. */
static void a_deletion_is_no_event(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_deleted, is_event;
    } all[] = {
        {"sse1 b.1.2-0 b.1.1-0 {\"deleted\":true}", true, false},
        {"sse1 b.1.2-0 0 {\"deleted\":true}", true, false},
        {"sse1 b.1.2-0 b.1.1-0 {\"deleted\":false}", false, false},
        {"sse1 b.1.2-0 b.1.1-0 {\"deleted\":1}", false, false},
        {"sse1 b.1.2-0 b.1.1-0 {\"deleted\":true,\"data\":\"x\"}", false, true},
        {"sse1 - - {\"deleted\":true}", false, false},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct envelope e;
        const char *why;
        int rc = envelope_decode(all[i].text, strlen(all[i].text), &e, &why);
        assert_int_equal(rc, all[i].is_event ? RELAY_OK : RELAY_EINVAL);
        assert_int_equal(e.deleted, all[i].is_deleted);
        envelope_fini(&e);
    }
}

/* jansson's allocator, for the one test below: request number countdown (from 0) fails. */
static long countdown;
static long outstanding;

static void *failing_malloc(size_t size) {
    if (countdown-- == 0)
        return NULL;
    outstanding++;
    return malloc(size);
}

static void counting_free(void *p) {
    outstanding -= p != NULL;
    free(p);
}

/* Words stay short here: jansson itself does not notice when its buffer for a longer one cannot
 * grow (see relay/wire/README.md). */
static void each_allocation_may_fail(void **state) {
    (void)state;
    const char *text = "sse1 - - {\"event\":\"e\",\"data\":\"d\",\"x\":{\"y\":[1]},\"retry\":1000}";
    const char *why;
    struct envelope e;
    int refused = 0;
    json_set_alloc_funcs(failing_malloc, counting_free);
    for (countdown = 0; envelope_decode(text, strlen(text), &e, &why) != RELAY_OK; refused++) {
        assert_int_equal(outstanding, 0);
        countdown = refused + 1;
    }
    assert_true(countdown >= 0); /* it came through since nothing failed, not in spite of it */
    assert_true(refused > 5);
    assert_data(&e, "d", 1);
    envelope_fini(&e);
    assert_int_equal(outstanding, 0);
    json_set_alloc_funcs(malloc, free);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_that_cannot_be_read_is_known_by_its_ids),
        cmocka_unit_test(a_raw_message_is_the_data_of_a_live_event),
        cmocka_unit_test(an_empty_message_is_empty_data),
        cmocka_unit_test(raw_messages_that_break_a_rule_are_refused),
        cmocka_unit_test(a_live_envelope_has_a_name_data_and_retry),
        cmocka_unit_test(a_durable_envelope_has_its_ids_too),
        cmocka_unit_test(what_may_be_absent_or_is_unknown_does_not_matter),
        cmocka_unit_test(fields_that_break_a_rule_are_refused),
        cmocka_unit_test(json_that_breaks_a_rule_is_refused),
        cmocka_unit_test(no_message_that_is_cut_or_damaged_is_taken_for_whole),
        cmocka_unit_test(the_largest_data_passes_however_it_is_written),
        cmocka_unit_test(a_huge_message_is_refused_unread),
        cmocka_unit_test(deep_json_is_refused_before_it_exhausts_the_stack),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(what_is_not_set_is_not_written),
        cmocka_unit_test(a_deletion_is_no_event),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
