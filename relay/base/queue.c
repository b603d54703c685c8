/* The queue between threads; see queue.h. A mutex and a list: the lock is taken once per push and
 * once per wake-up, which is per event and not per delivery, so nothing cleverer pays. */
#include "relay/base/queue.h"

#include <assert.h>
#include <stdlib.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"

void queue_init(struct queue *q, size_t limit_count, size_t limit_bytes, uv_async_t *wakeup) {
    *q = (struct queue){
        .limit_count = limit_count, .limit_bytes = limit_bytes, .wakeup = wakeup, .tail = &q->head};
    if (uv_mutex_init(&q->mutex) != 0)
        abort(); /* it fails only when memory is gone */
}

void queue_fini(struct queue *q) {
    assert(q->head == NULL);
    uv_mutex_destroy(&q->mutex);
}

/* Link @node at the tail; the mutex is held. True when the reader has to be woken. */
static int queue_link(struct queue *q, struct queue_node *node, size_t bytes) {
    int was_empty = q->head == NULL;
    if (was_empty) /* the clock is asked once for each wake-up, not for each message */
        q->oldest_us = clock_mono_us();
    node->next = NULL;
    *q->tail = node;
    q->tail = &node->next;
    q->count++;
    q->bytes += bytes;
    return was_empty && q->wakeup != NULL;
}

int queue_push(struct queue *q, struct queue_node *node, size_t bytes) {
    int rc = RELAY_OK;
    int wake = 0;
    uv_mutex_lock(&q->mutex);
    if (q->count > 0 && (q->count >= q->limit_count || q->bytes + bytes > q->limit_bytes))
        rc = RELAY_EOVERFLOW;
    else
        wake = queue_link(q, node, bytes);
    uv_mutex_unlock(&q->mutex);
    if (wake)
        uv_async_send(q->wakeup);
    return rc;
}

void queue_push_control(struct queue *q, struct queue_node *node) {
    uv_mutex_lock(&q->mutex);
    int wake = queue_link(q, node, 0);
    uv_mutex_unlock(&q->mutex);
    if (wake)
        uv_async_send(q->wakeup);
}

struct queue_node *queue_take(struct queue *q) {
    uv_mutex_lock(&q->mutex);
    struct queue_node *list = q->head;
    q->head = NULL;
    q->tail = &q->head;
    q->count = 0;
    q->bytes = 0;
    q->oldest_us = 0;
    q->takes++;
    uv_mutex_unlock(&q->mutex);
    return list;
}

uint64_t queue_takes(struct queue *q) {
    uv_mutex_lock(&q->mutex);
    uint64_t takes = q->takes;
    uv_mutex_unlock(&q->mutex);
    return takes;
}

size_t queue_depth(struct queue *q, uint64_t *oldest_us) {
    uv_mutex_lock(&q->mutex);
    size_t count = q->count;
    if (oldest_us != NULL)
        *oldest_us = q->oldest_us;
    uv_mutex_unlock(&q->mutex);
    return count;
}
