/* The source that has its event already; see source.h. */
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/input/source.h"
#include "relay/base/mem.h"

struct source_text {
    struct source source;
    const char *data;
    uint64_t repeat;
    uint64_t taken;
};

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_text *s = (struct source_text *)source;
    if (s->taken == s->repeat)
        return SOURCE_END;
    s->taken++;
    item->given.event.data = s->data;
    item->given.event.data_len = strlen(s->data);
    item->what = "DATA";
    item->place.number = s->repeat > 1 ? s->taken : 0;
    return SOURCE_EVENT;
}

static double done(const struct source *source) {
    const struct source_text *s = (const struct source_text *)source;
    return (double)s->taken / (double)s->repeat;
}

static void end(struct source *source) {
    free(source);
}

struct source *source_text_new(const char *data, uint64_t repeat, void (*on_wake)(void *),
                               void *arg) {
    static const struct source_type type = {.next = next, .done = done, .close = end};
    struct source_text *s = mem_zalloc(sizeof(*s));
    s->source = (struct source){.type = &type, .on_wake = on_wake, .arg = arg};
    s->data = data;
    s->repeat = repeat;
    return &s->source;
}
