/* What a publish says on standard error; see journal.h. */
#include "publisher-cli/publish/journal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "publisher-cli/base/terminal.h"
#include "relay/base/clock.h"

void journal_init(struct journal *j, FILE *err) {
    *j = (struct journal){.err = err, .start_us = clock_mono_us()};
}

void journal_say(struct journal *j, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    progress_hide(&j->progress);
    complain(j->err, "%s", text);
}

/* Whether another complaint about a line is told. */
static bool may_tell(struct journal *j) {
    if (j->told < JOURNAL_TOLD_MAX) {
        j->told++;
        return true;
    }
    j->untold++;
    return false;
}

void journal_bad(struct journal *j, const struct source_item *item, bool is_stopping) {
    const struct place *place = &item->place;
    if (!may_tell(j))
        return;
    if (place->file == NULL) {
        journal_say(j, "%s %s; nothing is published", item->what, item->why);
        return;
    }
    journal_say(j, "%s:%" PRIu64 ": %s", place->file, place->line, item->why);
    if (is_stopping && j->can_resume)
        journal_say(j,
                    "stopped at this line, which is line %" PRIu64
                    " of the input: --resume-from %" PRIu64
                    " goes on with it, and --on-error skip passes over such lines",
                    place->number, place->number);
}

void journal_large(struct journal *j, const struct source_item *item) {
    const struct place *place = &item->place;
    char where[512] = "";
    if (j->large_told)
        return;
    j->large_told = true;
    if (place->file != NULL)
        snprintf(where, sizeof(where), "%s:%" PRIu64 ": ", place->file, place->line);
    journal_say(j,
                "%sthe event is longer than 64 KiB. Some clients read lines of "
                "that length at most, several of Go's libraries among them, and stop at a longer "
                "one for good; a stream with max-event=64KiB gets a notice in its place",
                where);
}

/* "app.log:129-256: ", as far as it is from a file. */
static void put_place(const struct batch *b, struct buf *out) {
    if (b->first.file == NULL)
        return;
    buf_printf(out, "%s:%" PRIu64, b->first.file, b->first.line);
    if (b->last.file != b->first.file)
        buf_printf(out, "-%s:%" PRIu64, b->last.file, b->last.line);
    else if (b->last.line != b->first.line)
        buf_printf(out, "-%" PRIu64, b->last.line);
    buf_puts(out, ": ");
}

void journal_batch(struct journal *j, const struct batch *b, const char *what) {
    struct buf text = BUF_INIT;
    if (!may_tell(j))
        return;
    put_place(b, &text);
    buf_puts(&text, what);
    journal_say(j, "%s", text.data);
    buf_fini(&text);
}

void journal_refused(struct journal *j, uint64_t number, uint64_t behind) {
    struct buf text = BUF_INIT;
    if (!j->can_resume)
        return;
    buf_printf(&text,
               "stopped at line %" PRIu64 " of the input: --resume-from %" PRIu64
               " goes on with it",
               number, number);
    if (behind > 0)
        buf_printf(&text, "; %" PRIu64 " event%s behind it had been sent, and %s published", behind,
                   plural(behind), behind == 1 ? "is" : "are");
    journal_say(j, "%s", text.data);
    buf_fini(&text);
}

void journal_stopped(struct journal *j, uint64_t next) {
    if (j->can_resume && next <= 1)
        journal_say(j, "stopped before the first line of the input: nothing of it is published");
    else if (j->can_resume)
        journal_say(
            j, "stopped behind line %" PRIu64 " of the input: --resume-from %" PRIu64 " goes on",
            next - 1, next);
}

/* The lines that nobody knows about are those that were sent; some between or behind them may have
 * overtaken them, and are published. */
void journal_unanswered(struct journal *j, const struct batch *unanswered) {
    const struct batch *first = unanswered, *last = NULL;
    uint64_t unknown = 0, published = 0;
    for (const struct batch *b = first; b != NULL; b = b->next) {
        if (b->outcome != NULL)
            published += b->published;
        else if (batch_is_unknown(b))
            unknown += b->items_count - b->answered;
        else
            continue;
        last = b;
    }
    j->tally.lost += unknown;
    if (!j->is_many) {
        journal_say(j, unknown == 0 ? "the event is not published"
                                    : "the event may be published or not: no answer came");
    } else if (unknown == 0 && published > 0) {
        journal_refused(j, first->first.number, published);
    } else if (unknown == 0) {
        journal_stopped(j, first->first.number);
    } else if (!j->can_resume) {
        journal_say(j, "the last %" PRIu64 " event%s may be published or not", unknown,
                    plural(unknown));
    } else {
        char some[64] = "";
        if (published > 0)
            snprintf(some, sizeof(some), " (%" PRIu64 " event%s of them %s published)", published,
                     plural(published), published == 1 ? "is" : "are");
        journal_say(
            j,
            "lines %" PRIu64 " to %" PRIu64 " of the input may be published or not%s, and "
            "what is behind them is not; --resume-from %" PRIu64
            " goes on, and duplicates those of them that are published, unless they have keys "
            "of their own",
            first->first.number, last->last.number, some, first->first.number);
    }
}

void journal_end(struct journal *j) {
    const struct tally *t = &j->tally;
    bool is_well = t->skipped + t->failed + t->lost + t->doubled + t->overtaken == 0;
    if (j->untold > 0)
        journal_say(j, "and %" PRIu64 " more like these", j->untold);
    if (!j->is_many || (j->is_quiet && is_well))
        return;
    struct buf text = BUF_INIT;
    tally_put_summary(t, clock_mono_us() - j->start_us, &text);
    journal_say(j, "%s", text.data);
    buf_fini(&text);
}
