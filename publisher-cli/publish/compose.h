/* What a source gave to what is published: the options fill in what an item does not say, and what
 * cannot be an event is found here.
 *
 * init/fini: embedded; pure; one thread. */
#ifndef PUBLISHER_CLI_PUBLISH_COMPOSE_H
#define PUBLISHER_CLI_PUBLISH_COMPOSE_H

#include "publisher-cli/input/source.h"
#include "publisher-cli/options/options.h"
#include "publisher-cli/publish/batch.h"

struct compose {
    const struct options *options;
    struct publish_topic *topics; /* the options' */
    struct buf data;              /* of the last item, as compact JSON */
    struct buf key;               /* of it, with its number */
    struct buf why;               /* it is none */
};

void compose_init(struct compose *c, const struct options *options);
void compose_fini(struct compose *c);

/* Make @event of @item; it borrows from both, up to the next call.
 *
 * Returns RELAY_OK, or RELAY_EINVAL and @item->why says what is wrong, as in source.h. */
int compose_event(struct compose *c, struct source_item *item, struct batch_event *event);

#endif
