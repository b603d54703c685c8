/* What a publish says on standard error: complaints, the progress bar between them, the end.
 *
 * Complaints about lines are told up to JOURNAL_TOLD_MAX, and counted beyond. Embedded; one loop,
 * one thread. */
#ifndef PUBLISHER_CLI_PUBLISH_JOURNAL_H
#define PUBLISHER_CLI_PUBLISH_JOURNAL_H

#include <stdbool.h>
#include <stdio.h>

#include "publisher-cli/input/source.h"
#include "publisher-cli/publish/progress.h"
#include "publisher-cli/publish/tally.h"
#include "publisher-cli/publish/writer.h"

enum { JOURNAL_TOLD_MAX = 20 };

struct journal {
    FILE *err;
    struct progress progress;
    struct tally tally;
    uint64_t start_us;
    bool is_many;    /* more than one event was asked for */
    bool is_quiet;   /* no summary where all is well */
    bool can_resume; /* the input has lines that --resume-from can name */
    bool large_told; /* that an event is large */
    unsigned told;   /* complaints about lines */
    uint64_t untold; /* and those that were too many */
};

void journal_init(struct journal *j, FILE *err);

/* Say something. */
void journal_say(struct journal *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An item that is no event: item->why. */
void journal_bad(struct journal *j, const struct source_item *item, bool is_stopping);

/* An item that is an event, and one that some clients cannot read. Told once. */
void journal_large(struct journal *j, const struct source_item *item);

/* Something is wrong with a batch; @what is the sentence behind its place. */
void journal_batch(struct journal *j, const struct batch *b, const char *what);

/* It ended at number @number of the input, which Redis refused; @behind events that follow it are
 * published. */
void journal_refused(struct journal *j, uint64_t number, uint64_t behind);

/* The input was cut short, and what stands before number @next of it is settled. */
void journal_stopped(struct journal *j, uint64_t next);

/* The same, but the writer had @unanswered in hand: what nobody knows. */
void journal_unanswered(struct journal *j, const struct batch *unanswered);

/* The summary. */
void journal_end(struct journal *j);

#endif
