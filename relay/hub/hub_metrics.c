/* Labels of the hub's metrics. */
#include "relay/hub/hub_metrics.h"

const char *hub_end_name(enum hub_end why) {
    static const char *const names[HUB_ENDS] = {"client",  "max_age", "drain",
                                                "expired", "kicked",  "write_timeout",
                                                "input",   "error",   "shutdown"};
    return names[why];
}
