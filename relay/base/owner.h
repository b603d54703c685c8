/* Whose thread an object is: an assertion of what its header says.
 *
 * The first check binds it to the thread that runs it; each later one must come from the same.
 * What is made and freed by another thread, before and after, makes no check. Embedded; all zero is
 * nobody's yet. */
#ifndef RELAY_BASE_OWNER_H
#define RELAY_BASE_OWNER_H

#include <assert.h>
#include <stdbool.h>
#include <uv.h>

struct owner {
    bool bound;
    uv_thread_t thread;
};

static inline void owner_check(struct owner *o) {
    uv_thread_t self = uv_thread_self();
    if (!o->bound)
        *o = (struct owner){.bound = true, .thread = self};
    assert(uv_thread_equal(&o->thread, &self));
}

#endif
