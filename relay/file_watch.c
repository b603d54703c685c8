/* Looking at files; see file_watch.h. */
#include "relay/file_watch.h"

#include <sys/stat.h>

enum { LOOK_EVERY_MS = 2000 };

static uint64_t mix(uint64_t hash, uint64_t value) {
    return (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15) + (hash >> 29);
}

static uint64_t mix_file(uint64_t hash, const char *path) {
    struct stat s = {0};
    if (stat(path, &s) != 0)
        s = (struct stat){0};
#ifdef __APPLE__
    uint64_t ns = (uint64_t)s.st_mtimespec.tv_nsec;
#else
    uint64_t ns = (uint64_t)s.st_mtim.tv_nsec;
#endif
    hash = mix(mix(hash, (uint64_t)s.st_mtime), ns);
    return mix(mix(hash, (uint64_t)s.st_ino), (uint64_t)s.st_size);
}

static uint64_t look(const struct file_watch *w) {
    uint64_t hash = 1;
    for (size_t i = 0; i < FILE_WATCH_LISTS; i++)
        for (size_t k = 0; w->lists[i] != NULL && k < w->lists[i]->len; k++)
            hash = mix_file(hash, w->lists[i]->items[k]);
    return hash;
}

void file_watch_look(struct file_watch *w) {
    w->seen = look(w);
}

const char *file_watch_pipe(const struct file_watch *w) {
    struct stat s;
    for (size_t i = 0; i < FILE_WATCH_LISTS; i++)
        for (size_t k = 0; w->lists[i] != NULL && k < w->lists[i]->len; k++)
            if (stat(w->lists[i]->items[k], &s) == 0 && !S_ISREG(s.st_mode))
                return w->lists[i]->items[k];
    return NULL;
}

static void on_timer(uv_timer_t *timer) {
    struct file_watch *w = timer->data;
    if (look(w) != w->seen)
        w->changed(w->arg);
}

void file_watch_start(struct file_watch *w, uv_loop_t *loop, bool active,
                      void (*changed)(void *arg), void *arg) {
    w->changed = changed;
    w->arg = arg;
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    if (active)
        uv_timer_start(&w->timer, on_timer, LOOK_EVERY_MS, LOOK_EVERY_MS);
}

void file_watch_close(struct file_watch *w) {
    if (!uv_is_closing((uv_handle_t *)&w->timer))
        uv_close((uv_handle_t *)&w->timer, NULL);
}
