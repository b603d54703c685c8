/* What the user adds to the requests of `tail`: headers and cookies, from arguments and files. */
#ifndef PUBLISHER_CLI_TAIL_TAIL_EXTRA_H
#define PUBLISHER_CLI_TAIL_TAIL_EXTRA_H

#include <curl/curl.h>

#include "publisher-cli/options/options.h"
#include "relay/base/buf.h"

struct tail_extra {
    struct curl_slist *headers; /* but Last-Event-ID */
    struct buf last_id;         /* where the first stream begins; empty: nobody said */
    struct buf cookie;          /* "name=value; ..."; empty: none */
    struct curl_slist *cookie_files;
};

/* Read what @o gives, files and standard input (`@-`) to their end.
 *
 * Returns RELAY_OK, or RELAY_EINVAL and a sentence in @why, which repeats nothing of what was read.
 * tail_extra_fini() ends it in both cases. */
int tail_extra_read(struct tail_extra *e, const struct options *o, struct buf *why);
void tail_extra_fini(struct tail_extra *e);

#endif
