/* The reasons' words; see reset.h. */
#include "relay/wire/reset.h"

const char *reset_reason_name(unsigned bit) {
    static const char *const names[RESET_REASONS] = {"trimmed", "birth", "limit", "failover",
                                                     "live"};
    return names[bit];
}
