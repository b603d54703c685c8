/* Labels of the hub's figures. */
#include "relay/hub/figures.h"

const char *hub_end_name(enum hub_end why) {
    static const char *const names[HUB_ENDS] = {"client", "max_age", "drain",   "write_timeout",
                                                "input",  "error",   "shutdown"};
    return names[why];
}
