/* Times as people and programs write them: ISO 8601, as RFC 3339 narrows it. Pure; any thread. */
#ifndef RELAY_BASE_TIMESTAMP_H
#define RELAY_BASE_TIMESTAMP_H

#include <stdint.h>

#include "relay/base/buf.h"

/* Read `2026-11-30T17:45:00Z`: a date, `T` or a space, hours and minutes, then if you like seconds
 * and their fraction (digits beyond the milliseconds are cut), then `Z` or an offset such as
 * `+01:00`. From 1970 to 9999; a leap second counts as the second before it.
 *
 * Returns NULL, or what is wrong ("has no time zone"; static storage) and *@ms is unchanged. */
const char *timestamp_parse(const char *text, uint64_t *ms);

/* Append `2026-11-30T17:45:00Z`; the milliseconds are cut. */
void timestamp_put(struct buf *out, uint64_t ms);

#endif
