/* The JSON of an event as envelope_encode_json() writes it, read back without building a tree.
 *
 * jansson takes 2 µs for an event of 100 bytes, most of them for allocations; a replay of a hundred
 * thousand events feels that. This reads what we and our publishers write, exactly, and leaves
 * everything else to jansson. Pure; any thread. */
#ifndef RELAY_WIRE_CANONICAL_H
#define RELAY_WIRE_CANONICAL_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/wire/envelope.h"

/* Read `{"event":"…","data":"…","retry":N}`, event and retry optional, in this order, without white
 * space. Strings point into
 * @json, or into *@owned (to be freed) where they had escapes.
 *
 * Returns false where it is anything else, valid or not: *@out and *@owned are then unchanged. What
 * is accepted is what jansson would read; the rules for names, data and retry are still to be
 * checked. */
bool canonical_read(const char *json, size_t len, struct event *out, char **owned);

#endif
