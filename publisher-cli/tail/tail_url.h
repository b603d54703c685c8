/* What `tail` asks for: the URL of a relay and the options, as one URL. Pure. */
#ifndef PUBLISHER_CLI_TAIL_TAIL_URL_H
#define PUBLISHER_CLI_TAIL_TAIL_URL_H

#include "publisher-cli/options/options.h"
#include "relay/base/buf.h"

/* Append the URL of the stream of @o's topics to @url, and to @address what messages may show of
 * it: no user, no password, no query.
 *
 * `/sse` is put behind the path unless that ends in it; a query of the user's stays, in front. Each
 * topic is a parameter of its own, since commas separate them in `topics=`.
 *
 * Returns RELAY_OK, or RELAY_EINVAL where @o->url is no URL. */
int tail_url(const struct options *o, struct buf *url, struct buf *address);

#endif
