/* Ids of durable events and their order (design: "The id on the wire").
 *
 * `<birth>.<epoch>.<ms>-<seq>`, numbers in base 36 with lower-case digits; birth is an opaque word
 * of [a-z0-9]. Pure; any thread. */
#ifndef RELAY_WIRE_ID_H
#define RELAY_WIRE_ID_H

#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"

enum { ID_BIRTH_MAX_BYTES = 16, ID_TEXT_MAX_BYTES = 64 };

struct event_id {
    char birth[ID_BIRTH_MAX_BYTES + 1]; /* which clock; ids of two births compare with nothing */
    uint64_t epoch;
    uint64_t ms;
    uint64_t seq;
};

/* Read an id of exactly @len bytes. Returns RELAY_OK, or RELAY_EINVAL and *@out is unchanged. */
int id_parse(const char *text, size_t len, struct event_id *out);

/* Append the text of @id. */
void id_format(struct buf *out, const struct event_id *id);

/* Order within one birth by (epoch, ms, seq): negative, 0 or positive. Both must have the same
 * birth. */
int id_compare(const struct event_id *a, const struct event_id *b);

/* The greatest id below @id that a log can hold. */
struct event_id id_before(struct event_id id);
/* The least id above @id. */
struct event_id id_after(struct event_id id);

#endif
