/* What a publish prints on standard output: an id a line, or an object a line.
 *
 * Text is gathered and written when there is much of it or somebody flushes, so that it costs
 * little beside publishing and a terminal can be cleared of a progress bar before. Embedded. */
#ifndef PUBLISHER_CLI_PUBLISH_PRINTER_H
#define PUBLISHER_CLI_PUBLISH_PRINTER_H

#include <stdbool.h>
#include <stdio.h>

#include "publisher-cli/options/options.h"
#include "publisher-cli/publish/writer.h"

enum { PRINTER_FLUSH_BYTES = 64 * 1024, PRINTER_FLUSH_MS = 100 };

struct printer {
    FILE *file;
    bool is_quiet;
    bool is_json;
    struct buf text;     /* not yet written */
    uint64_t flushed_ms; /* when it was empty last */
    int error;           /* errno of why nothing can be written any more, or 0 */
};

void printer_init(struct printer *p, FILE *file, const struct options *o);
void printer_fini(struct printer *p);

/* An event is published: its id, or `{"topic":…,"id":…}` with what else is known of it. */
void printer_put(struct printer *p, const struct written *written);

/* Whether so much is gathered, or since so long, that it should be written. */
bool printer_is_due(const struct printer *p, uint64_t now_ms);

/* Write what was gathered. Returns 0, or errno of the first failure, for this and all later calls:
 * nobody gets what is printed. */
int printer_flush(struct printer *p, uint64_t now_ms);

#endif
