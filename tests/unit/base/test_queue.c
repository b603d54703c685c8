/* The queue between threads: order, bounds, and waking its reader. */
#include "relay/base/queue.h"

#include <stdbool.h>
#include <stdlib.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/unit/unit.h"

struct message {
    struct queue_node node;
    int from; /* which thread pushed it */
    int number;
};

static struct message *message_of(struct queue_node *node) {
    return container_of(node, struct message, node);
}

static void messages_come_out_as_they_went_in(void **state) {
    (void)state;
    struct queue q;
    struct message m[10] = {0};
    queue_init(&q, 100, 100, NULL);
    assert_null(queue_take(&q));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++) {
            if (i % 3 == 0)
                queue_push_control(&q, &m[i].node);
            else
                assert_int_equal(queue_push(&q, &m[i].node, 1), RELAY_OK);
            assert_int_equal(queue_depth(&q, NULL), i + 1);
        }
        struct queue_node *node = queue_take(&q);
        for (int i = 0; i < 10; i++, node = node->next)
            assert_ptr_equal(node, &m[i].node);
        assert_null(node);
        assert_null(queue_take(&q));
        assert_int_equal(queue_depth(&q, NULL), 0);
    }
    queue_fini(&q);
}

static void the_number_of_messages_is_bounded(void **state) {
    (void)state;
    struct queue q;
    struct message m[4] = {0};
    queue_init(&q, 3, 1000, NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(queue_push(&q, &m[i].node, 1), RELAY_OK);
    assert_int_equal(queue_push(&q, &m[3].node, 1), RELAY_EOVERFLOW);
    assert_int_equal(queue_depth(&q, NULL), 3);
    struct queue_node *last = queue_take(&q)->next->next;
    assert_ptr_equal(last, &m[2].node);
    assert_null(last->next);
    assert_int_equal(queue_push(&q, &m[3].node, 1), RELAY_OK);
    queue_take(&q);
    queue_fini(&q);
}

static void the_bytes_are_bounded(void **state) {
    (void)state;
    struct queue q;
    struct message m[4] = {0};
    queue_init(&q, 100, 10, NULL);
    assert_int_equal(queue_push(&q, &m[0].node, 6), RELAY_OK);
    assert_int_equal(queue_push(&q, &m[1].node, 5), RELAY_EOVERFLOW);
    assert_int_equal(queue_push(&q, &m[1].node, 4), RELAY_OK);
    assert_int_equal(queue_push(&q, &m[2].node, 1), RELAY_EOVERFLOW);
    assert_int_equal(queue_push(&q, &m[2].node, 0), RELAY_OK);
    queue_take(&q);
    assert_int_equal(queue_push(&q, &m[0].node, 1), RELAY_OK);
    assert_int_equal(queue_push(&q, &m[3].node, 9), RELAY_OK);
    queue_take(&q);
    queue_fini(&q);
}

static void an_empty_queue_takes_one_message_of_any_size(void **state) {
    (void)state;
    struct queue q;
    struct message m[2] = {0};
    queue_init(&q, 100, 10, NULL);
    assert_int_equal(queue_push(&q, &m[0].node, 5000), RELAY_OK);
    assert_int_equal(queue_push(&q, &m[1].node, 1), RELAY_EOVERFLOW);
    queue_take(&q);
    queue_fini(&q);
}

static void control_messages_are_never_refused(void **state) {
    (void)state;
    struct queue q;
    struct message m[6] = {0};
    queue_init(&q, 1, 1, NULL);
    assert_int_equal(queue_push(&q, &m[0].node, 1), RELAY_OK);
    for (int i = 1; i < 5; i++)
        queue_push_control(&q, &m[i].node);
    assert_int_equal(queue_push(&q, &m[5].node, 0), RELAY_EOVERFLOW);
    struct queue_node *node = queue_take(&q);
    for (int i = 0; i < 5; i++, node = node->next)
        assert_ptr_equal(node, &m[i].node);
    assert_null(node);
    queue_fini(&q);
}

/* The age of the oldest message is told by when it was pushed, whatever comes behind it. */
static void the_oldest_message_has_its_time(void **state) {
    (void)state;
    struct queue q;
    struct message m[3] = {0};
    uint64_t oldest_us = 1, again_us = 1;
    queue_init(&q, 100, 100, NULL);
    assert_int_equal(queue_depth(&q, &oldest_us), 0);
    assert_int_equal(oldest_us, 0);
    for (int round = 0; round < 2; round++) {
        uint64_t before_us = clock_mono_us();
        assert_int_equal(queue_push(&q, &m[0].node, 1), RELAY_OK);
        assert_int_equal(queue_depth(&q, &oldest_us), 1);
        assert_true(oldest_us >= before_us && oldest_us <= clock_mono_us());
        uv_sleep(2);
        queue_push_control(&q, &m[1].node);
        assert_int_equal(queue_push(&q, &m[2].node, 1), RELAY_OK);
        assert_int_equal(queue_depth(&q, &again_us), 3);
        assert_int_equal(again_us, oldest_us);
        queue_take(&q);
        assert_int_equal(queue_depth(&q, &oldest_us), 0);
        assert_int_equal(oldest_us, 0);
    }
    queue_fini(&q);
}

/* A reader on a loop of its own. */
struct reader {
    uv_loop_t loop;
    uv_async_t wakeup;
    struct queue q;
    int wakeups;   /* calls of the wake-up's callback */
    int taken;     /* messages that came out */
    int expected;  /* the wake-up ends when so many have */
    bool ignores;  /* do not take anything */
    int next[8];   /* the number that must come next from each thread */
    int disorders; /* messages that came out of turn */
};

static void on_wakeup(uv_async_t *wakeup) {
    struct reader *r = wakeup->data;
    r->wakeups++;
    if (r->ignores)
        return;
    struct queue_node *node = queue_take(&r->q);
    while (node != NULL) {
        struct message *m = message_of(node);
        node = node->next;
        r->disorders += m->number != r->next[m->from]++;
        r->taken++;
        free(m);
    }
    if (r->taken == r->expected)
        uv_close((uv_handle_t *)&r->wakeup, NULL);
}

static void reader_init(struct reader *r, int expected, size_t limit_count) {
    *r = (struct reader){.expected = expected};
    assert_int_equal(uv_loop_init(&r->loop), 0);
    assert_int_equal(uv_async_init(&r->loop, &r->wakeup, on_wakeup), 0);
    r->wakeup.data = r;
    queue_init(&r->q, limit_count, SIZE_MAX, &r->wakeup);
}

static void reader_fini(struct reader *r) {
    assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    queue_fini(&r->q);
}

static struct queue_node *new_message(int from, int number) {
    struct message *m = mem_zalloc(sizeof(*m));
    m->from = from;
    m->number = number;
    return &m->node;
}

static void the_reader_is_woken_once_for_many_messages(void **state) {
    (void)state;
    struct reader r;
    reader_init(&r, 200, 1000);
    for (int i = 0; i < 100; i++)
        assert_int_equal(queue_push(&r.q, new_message(0, i), 1), RELAY_OK);
    uv_run(&r.loop, UV_RUN_ONCE);
    assert_int_equal(r.wakeups, 1);
    assert_int_equal(r.taken, 100);
    for (int i = 100; i < 200; i++)
        queue_push_control(&r.q, new_message(0, i));
    uv_run(&r.loop, UV_RUN_ONCE);
    assert_int_equal(r.wakeups, 2);
    assert_int_equal(r.taken, 200);
    assert_int_equal(r.disorders, 0);
    reader_fini(&r);
}

static void only_an_empty_queue_wakes_its_reader(void **state) {
    (void)state;
    struct reader r;
    reader_init(&r, 3, 1000);
    r.ignores = true;
    assert_int_equal(queue_push(&r.q, new_message(0, 0), 1), RELAY_OK);
    uv_run(&r.loop, UV_RUN_ONCE);
    assert_int_equal(r.wakeups, 1);
    assert_int_equal(queue_push(&r.q, new_message(0, 1), 1), RELAY_OK);
    queue_push_control(&r.q, new_message(0, 2));
    uv_run(&r.loop, UV_RUN_NOWAIT);
    assert_int_equal(r.wakeups, 1);
    r.ignores = false;
    on_wakeup(&r.wakeup);
    assert_int_equal(r.taken, 3);
    reader_fini(&r);
}

enum { THREADS = 4, EACH = 20000 };

struct pusher {
    struct reader *reader;
    int from;
    bool control;
    uv_thread_t thread;
};

static void push_all(void *arg) {
    struct pusher *p = arg;
    for (int i = 0; i < EACH; i++) {
        struct queue_node *node = new_message(p->from, i);
        if (p->control)
            queue_push_control(&p->reader->q, node);
        else
            while (queue_push(&p->reader->q, node, 1) == RELAY_EOVERFLOW)
                uv_sleep(0);
    }
}

/* A wake-up that got lost would leave the loop waiting for ever. */
static void threads_lose_nothing_and_keep_their_order(void **state) {
    (void)state;
    struct reader r;
    struct pusher p[THREADS];
    reader_init(&r, THREADS * EACH, 64);
    for (int i = 0; i < THREADS; i++) {
        p[i] = (struct pusher){.reader = &r, .from = i, .control = i == 0};
        assert_int_equal(uv_thread_create(&p[i].thread, push_all, &p[i]), 0);
    }
    uv_run(&r.loop, UV_RUN_DEFAULT);
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&p[i].thread);
    assert_int_equal(r.taken, THREADS * EACH);
    assert_int_equal(r.disorders, 0);
    reader_fini(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_as_they_went_in),
        cmocka_unit_test(the_number_of_messages_is_bounded),
        cmocka_unit_test(the_bytes_are_bounded),
        cmocka_unit_test(an_empty_queue_takes_one_message_of_any_size),
        cmocka_unit_test(control_messages_are_never_refused),
        cmocka_unit_test(the_oldest_message_has_its_time),
        cmocka_unit_test(the_reader_is_woken_once_for_many_messages),
        cmocka_unit_test(only_an_empty_queue_wakes_its_reader),
        cmocka_unit_test(threads_lose_nothing_and_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
