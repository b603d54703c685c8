/* Numbers with a unit, as people write them: 10m, 256KiB. Pure; any thread. */
#ifndef RELAY_BASE_QUANTITY_H
#define RELAY_BASE_QUANTITY_H

#include <stdint.h>

/* What may stand behind the digits; the largest comes last, a NULL name ends the list. */
struct unit {
    const char *name;
    uint64_t factor;
};

extern const struct unit quantity_plain[];   /* none */
extern const struct unit quantity_time[];    /* ms s m h d, in milliseconds */
extern const struct unit quantity_time_ms[]; /* the same, or none for milliseconds */
extern const struct unit quantity_bytes[];   /* none, KiB MiB GiB */

/* Read digits and one of @units; zero needs no unit. What does not fit is UINT64_MAX.
 *
 * Returns NULL, or what is wrong ("has no unit"; static storage) and *@out is unchanged. */
const char *quantity_parse(const char *text, const struct unit *units, uint64_t *out);

#endif
