/* Bringing topics up to the present, and keeping them there: what topic's tracker asks for is read
 * from Redis here, and its ring holds the recent events (topic.h: topic_history). The bus thread.
 */
#ifndef RELAY_BUS_TOPIC_SYNC_H
#define RELAY_BUS_TOPIC_SYNC_H

#include "relay/bus/domain.h"
#include "relay/wire/envelope.h"

/* Read what there is anew: the topic was confirmed, say. Its subscribers were told of a gap where
 * it was synced. */
void topic_sync_begin(struct bus_topic *t);

/* The subscription connection is lost: nothing is certain any more, and topic_sync_resume() goes
 * on. What was kept of it is in the log, or gone. Its subscribers were told of a gap. */
void topic_sync_lost(struct bus_topic *t);

/* The same for all topics, whose subscribers are told here: the clock is another one. */
void topic_sync_forget_all(struct bus_domain *d);

/* The reading connection, or the clock, is there: read what has to be read. */
void topic_sync_resume(struct bus_domain *d);

/* Once a second: ask again for what was refused, and read again what Redis may soon forget. */
void topic_sync_watch(struct bus_domain *d);

/* Read topics again of which a quarantined event was a real one. */
void topic_sync_release(struct bus_domain *d);

/* A durable message: its envelope, whose event may be empty where it could not be decoded
 * (@readable), and its text. Returns false where it was quarantined, to be counted later. */
bool topic_sync_message(struct bus_topic *t, const struct envelope *envelope, bool readable,
                        const char *text, size_t len);

/* Read backwards into the ring, until it has about @bytes or may not grow any more. Returns false
 * where it has so many; nothing happens where a read is under way. */
bool topic_sync_extend(struct bus_topic *t, size_t bytes);

/* A replay made frames; the ring had @before bytes. */
void topic_sync_served(struct bus_topic *t, size_t before);

/* The topic is freed behind this. */
void topic_sync_fini(struct bus_topic *t);

#endif
