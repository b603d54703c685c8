/* The ordered, bounded queue between two threads.
 *
 * Any thread pushes, one thread (that of the wake-up) takes. Nodes are embedded in messages, so a
 * push allocates nothing; messages arrive in the order of their pushes. Bounded in messages and
 * bytes for ordinary messages; control messages are never refused, since their number is bounded by
 * the work that is open. The queue wakes its reader through one uv_async_t, which its owner closes.
 *
 * A pushed message belongs to the queue until queue_take() hands it out. */
#ifndef RELAY_BASE_QUEUE_H
#define RELAY_BASE_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct queue_node {
    struct queue_node *next;
};

struct queue {
    uv_mutex_t mutex;         /* guards everything below */
    struct queue_node *head;  /* oldest */
    struct queue_node **tail; /* where the next one is linked */
    size_t count;             /* messages queued */
    size_t bytes;             /* bytes queued, as their pushers counted them */
    uint64_t oldest_us;       /* when the head was pushed, monotonic; 0: the queue is empty */
    uint64_t takes;           /* times that the reader took everything */
    size_t limit_count;       /* above these two, queue_push() refuses */
    size_t limit_bytes;
    uv_async_t *wakeup; /* NULL: nobody is woken */
};

/* @wakeup, which may be NULL, is sent whenever the queue becomes non-empty; it must outlive all
 * pushes. */
void queue_init(struct queue *q, size_t limit_count, size_t limit_bytes, uv_async_t *wakeup);

/* The queue must be empty. */
void queue_fini(struct queue *q);

/* Append a message that counts as @bytes. Any thread.
 *
 * Returns RELAY_OK, or RELAY_EOVERFLOW: the queue is full, the message is still the caller's. A
 * queue that is empty takes one message of any size. */
int queue_push(struct queue *q, struct queue_node *node, size_t bytes);

/* Append a control message: never refused. Any thread. */
void queue_push_control(struct queue *q, struct queue_node *node);

/* Take everything queued, oldest first, linked by next; NULL when empty. The reader's thread only.
 */
struct queue_node *queue_take(struct queue *q);

/* How often everything was taken: while it says the same, what was pushed since is still queued.
 * Any thread. */
uint64_t queue_takes(struct queue *q);

/* Messages queued now, for metrics. @oldest_us, which may be NULL, gets when the oldest of them was
 * pushed (clock_mono_us()), or 0 where there is none. Any thread. */
size_t queue_depth(struct queue *q, uint64_t *oldest_us);

#endif
