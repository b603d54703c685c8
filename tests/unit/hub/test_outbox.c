/* One subscriber's queue: order, bounds, partial writes. */
#include "relay/hub/outbox.h"

#include <string.h>

#include "relay/base/err.h"
#include "relay/base/rng.h"
#include "tests/unit/unit.h"

static struct bus_event *event(const char *bytes) {
    return bus_event_new(frame_raw(bytes, strlen(bytes)), NULL, 0, 1);
}

static void push(struct outbox *o, const char *bytes) {
    struct bus_event *e = event(bytes);
    assert_int_equal(outbox_push(o, e, SIZE_MAX), RELAY_OK);
    bus_event_unref(e);
}

static void count(void *arg, const struct bus_event *e) {
    (void)e;
    (*(int *)arg)++;
}

static void an_empty_outbox_takes_one_frame_of_any_size(void **state) {
    (void)state;
    struct outbox o;
    int done = 0;
    outbox_init(&o, FRAME_FORMAT_DATA, FRAMING_CHUNK);
    struct bus_event *e = event("0123456789");
    assert_int_equal(outbox_push(&o, e, 5), RELAY_OK);
    assert_int_equal(outbox_push(&o, e, 5), RELAY_EOVERFLOW);
    assert_int_equal(outbox_push(&o, e, 19), RELAY_EOVERFLOW);
    assert_int_equal(outbox_push(&o, e, 20), RELAY_OK);
    assert_int_equal(o.bytes, 20);
    outbox_written(&o, 12, count, &done);
    assert_int_equal(done, 1);
    assert_int_equal(o.bytes, 8);
    assert_int_equal(outbox_push(&o, e, 18), RELAY_OK); /* what was sent of a frame makes room */
    assert_int_equal(e->refs, 3);
    outbox_fini(&o);
    assert_int_equal(e->refs, 1);
    bus_event_unref(e);
}

static void gather_starts_at_the_first_unsent_byte(void **state) {
    (void)state;
    struct outbox o;
    struct iovec iov[8];
    int done = 0;
    outbox_init(&o, FRAME_FORMAT_DATA, FRAMING_NONE);
    assert_int_equal(outbox_gather(&o, iov, 8), 0);
    push(&o, "abc");
    push(&o, "defg");
    push(&o, "h");
    outbox_written(&o, 4, count, &done);
    assert_int_equal(done, 1);
    assert_int_equal(outbox_gather(&o, iov, 8), 2);
    assert_int_equal(iov[0].iov_len, 3);
    assert_memory_equal(iov[0].iov_base, "efg", 3);
    assert_int_equal(outbox_gather(&o, iov, 1), 1);
    outbox_written(&o, 4, count, &done);
    assert_int_equal(done, 3);
    assert_true(outbox_is_empty(&o));
    outbox_fini(&o);
}

/* Random pushes and writes against the plain string of bytes that should come out. */
static void bytes_come_out_as_they_went_in(void **state) {
    (void)state;
    struct rng rng = {.state = 7};
    struct outbox o;
    char expected[200000];
    size_t in = 0, out = 0;
    int done = 0, pushed = 0;
    outbox_init(&o, FRAME_FORMAT_JSON, FRAMING_CHUNK);
    while (in < 150000) {
        for (uint64_t n = rng_below(&rng, 40); n > 0; n--, pushed++) {
            char bytes[64];
            size_t len = 1 + rng_below(&rng, 40);
            for (size_t i = 0; i < len; i++)
                bytes[i] = (char)('a' + rng_below(&rng, 26));
            bytes[len] = '\0';
            push(&o, bytes);
            memcpy(expected + in, bytes, len);
            in += len;
        }
        struct iovec iov[16];
        int n = outbox_gather(&o, iov, 16);
        size_t take = 0, offered = 0;
        for (int i = 0; i < n; i++)
            offered += iov[i].iov_len;
        size_t want = rng_below(&rng, offered + 1);
        for (int i = 0; i < n && take < want; i++) {
            size_t part = iov[i].iov_len < want - take ? iov[i].iov_len : want - take;
            assert_memory_equal(iov[i].iov_base, expected + out + take, part);
            take += part;
        }
        outbox_written(&o, take, count, &done);
        out += take;
        assert_int_equal(o.bytes, in - out);
    }
    outbox_written(&o, o.bytes, count, &done);
    assert_int_equal(done, pushed);
    outbox_fini(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_outbox_takes_one_frame_of_any_size),
        cmocka_unit_test(gather_starts_at_the_first_unsent_byte),
        cmocka_unit_test(bytes_come_out_as_they_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
