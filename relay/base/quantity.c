/* Numbers with a unit; see quantity.h. */
#include "relay/base/quantity.h"

#include <stdlib.h>
#include <string.h>

#define TIME_UNITS                                                                                 \
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {                       \
        NULL, 0                                                                                    \
    }

enum { MAX_DIGITS = 15 }; /* so that the value itself never overflows */

const struct unit quantity_plain[] = {{"", 1}, {NULL, 0}};
const struct unit quantity_time[] = {TIME_UNITS};
const struct unit quantity_time_ms[] = {{"", 1}, TIME_UNITS};
const struct unit quantity_bytes[] = {{"", 1},
                                      {"KiB", UINT64_C(1) << 10},
                                      {"MiB", UINT64_C(1) << 20},
                                      {"GiB", UINT64_C(1) << 30},
                                      {NULL, 0}};

const char *quantity_parse(const char *text, const struct unit *units, uint64_t *out) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0)
        return "is not a whole number";
    if (digits > MAX_DIGITS)
        return "is out of range";
    uint64_t value = strtoull(text, NULL, 10);
    const char *name = text + digits;
    for (const struct unit *u = units; u->name != NULL; u++)
        if (strcmp(u->name, name) == 0 || (value == 0 && *name == '\0')) {
            *out = value > UINT64_MAX / u->factor ? UINT64_MAX : value * u->factor;
            return NULL;
        }
    return *name == '\0' ? "has no unit" : "does not end in a unit that is known";
}
