/* The source that is one text; see source.h. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/source.h"
#include "relay/base/mem.h"

struct source_text {
    struct source source;
    const char *data;
    bool is_taken;
};

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_text *s = (struct source_text *)source;
    if (s->is_taken)
        return SOURCE_END;
    s->is_taken = true;
    item->event.data = s->data;
    item->event.data_len = strlen(s->data);
    item->where = "DATA";
    return SOURCE_EVENT;
}

static void end(struct source *source) {
    free(source);
}

struct source *source_text_new(const char *data, void (*on_wake)(void *), void *arg) {
    static const struct source_type type = {.next = next, .close = end};
    struct source_text *s = mem_zalloc(sizeof(*s));
    s->source = (struct source){.type = &type, .on_wake = on_wake, .arg = arg};
    s->data = data;
    return &s->source;
}
