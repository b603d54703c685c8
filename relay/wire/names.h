/* Names in Redis: channels, and the keys of a domain's logs and clock.
 *
 * Pure; any thread. The prefix is configuration (`sse` by default) and passed in. */
#ifndef RELAY_WIRE_NAMES_H
#define RELAY_WIRE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"

enum { NAMES_PREFIX_MAX_BYTES = 64 };

/* NULL when @prefix may be one (1 to 64 bytes of [A-Za-z0-9_.-]), or what is wrong, as
 * topic_check(). */
const char *names_prefix_check(const char *prefix);

/* Append the pub/sub channel of @topic: `<prefix>:<topic>`. */
void names_channel(struct buf *out, const char *prefix, const char *topic, size_t topic_len);

/* Find the topic within the name of a channel: *@topic points into @channel.
 * Returns false where the channel is not `<prefix>:` and something behind. */
bool names_topic_of_channel(const char *prefix, const char *channel, size_t channel_len,
                            const char **topic, size_t *topic_len);

/* Append the channel of a relay's own probes: `<prefix>:relay.<node>`. No topic can take this name.
 */
void names_probe_channel(struct buf *out, const char *prefix, const char *node);

/* Append the keys of the domain @tag (design: "Contract with Redis"; outside Cluster there is one,
 * "0"): `<prefix>:{<tag>}:log:<topic>`, `…:last:<topic>`, `…:clock`, `…:once:<key>`, `…:bars`. */
void names_log(struct buf *out, const char *prefix, const char *tag, const char *topic,
               size_t topic_len);
void names_last(struct buf *out, const char *prefix, const char *tag, const char *topic,
                size_t topic_len);
void names_clock(struct buf *out, const char *prefix, const char *tag);
void names_once(struct buf *out, const char *prefix, const char *tag, const char *key,
                size_t key_len);
void names_bars(struct buf *out, const char *prefix, const char *tag);

#endif
