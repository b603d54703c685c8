/* The header fields of an answer; see fields.h. */
#include "relay/http/fields.h"

#include <assert.h>

#include "relay/http/authority.h"

void fields_add_span(struct fields *f, const char *name, struct span value) {
    assert(f->len < FIELDS_MAX);
    f->list[f->len++] = (struct field){name, value};
}

void fields_add(struct fields *f, const char *name, const char *text) {
    fields_add_span(f, name, span_of(text));
}

void fields_add_table(struct fields *f, const struct field *table) {
    for (; table->name != NULL; table++)
        fields_add_span(f, table->name, table->value);
}

void fields_add_all(struct fields *f, const struct fields *more) {
    for (size_t i = 0; i < more->len; i++)
        fields_add_span(f, more->list[i].name, more->list[i].value);
}
