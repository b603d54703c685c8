/* The header fields of an answer, as names and values: how they are written is the protocol's.
 *
 * All bytes are borrowed, and have to last until the answer was given to its exchange. Embedded;
 * one thread; begins as {0}. */
#ifndef RELAY_HTTP_FIELDS_H
#define RELAY_HTTP_FIELDS_H

#include <stddef.h>

#include "relay/http/request.h"

struct field {
    const char *name;
    struct span value;
};

/* One of constant text, for a table. */
#define FIELD(name, text)                                                                          \
    {                                                                                              \
        name, {                                                                                    \
            text, sizeof(text) - 1                                                                 \
        }                                                                                          \
    }

enum { FIELDS_MAX = 20 }; /* more than any answer has; one too many is a bug, and aborts */

struct fields {
    size_t len;
    struct field list[FIELDS_MAX];
};

void fields_add(struct fields *f, const char *name, const char *text);
void fields_add_span(struct fields *f, const char *name, struct span value);

/* The fields of @table, up to one whose name is NULL. */
void fields_add_table(struct fields *f, const struct field *table);

void fields_add_all(struct fields *f, const struct fields *more);

#endif
