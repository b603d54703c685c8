/* The rules for topics, event names and retry (design: "Contract with Redis").
 *
 * One place for the relay, the publisher and the console's server side. Pure; any thread. */
#ifndef RELAY_WIRE_TOPIC_H
#define RELAY_WIRE_TOPIC_H

#include <stddef.h>
#include <stdint.h>

enum {
    TOPIC_MAX_BYTES = 256,
    EVENT_NAME_MAX_BYTES = 128,
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 3600 * 1000,
    DATA_MAX_BYTES = 1024 * 1024 /* what one event may carry */
};

/* A topic is 1 to 256 bytes of UTF-8 without control characters, `*`, `{` and `}`, and does not
 * begin with `relay.`.
 *
 * Returns NULL when @topic is one, or a sentence part that says what is wrong, such as "is empty"
 * (static storage), to be put behind the words that name the topic. */
const char *topic_check(const char *topic, size_t len);

/* An event name is up to 128 bytes of UTF-8 without control characters, does not begin with
 * `relay.` and is not `error` or `open`. Empty is allowed and means none. Returns as topic_check().
 */
const char *event_name_check(const char *name, size_t len);

/* retry is RETRY_MIN_MS to RETRY_MAX_MS. Returns as topic_check(). */
const char *retry_check(uint64_t retry_ms);

/* Data is UTF-8 of up to DATA_MAX_BYTES. Returns as topic_check(). */
const char *data_check(const char *data, size_t len);

#endif
