/* The reasons' words; see reset.h. */
#include "relay/wire/reset.h"

const char *reset_reason_name(unsigned bit) {
    static const char *const names[RESET_REASONS] = {"birth", "failover", "limit", "trimmed",
                                                     "live"};
    return names[bit];
}
