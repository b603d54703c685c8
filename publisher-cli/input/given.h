/* An event as the input gives it: what it does not say is 0, NULL or false, and the options have
 * it. The texts are borrowed. */
#ifndef PUBLISHER_CLI_INPUT_GIVEN_H
#define PUBLISHER_CLI_INPUT_GIVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/wire/envelope.h"
#include "relay/wire/publish_script.h"

struct given_event {
    struct event event;
    const struct publish_topic *topics;
    size_t topics_count;
    const char *key;
    size_t key_len;
    uint64_t history;
    uint64_t ttl_ms;
    bool has_live, is_live;
    bool has_time;
    uint64_t time_ms; /* when it was published first, since 1970 */
};

#endif
