/* One run that publishes; see publish.h. */
#include "publisher-cli/publish/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "publisher-cli/base/refusal.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/input/source.h"
#include "publisher-cli/publish/compose.h"
#include "publisher-cli/publish/journal.h"
#include "publisher-cli/publish/printer.h"
#include "publisher-cli/publish/writer.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

enum {
    TIMEOUT_DEFAULT_MS = 30 * 1000, /* where there is no such option */
    UNANSWERED_MS = 500             /* after a signal, before it is said what is waited for */
};

struct run {
    const struct options *options;
    struct buf address; /* of Redis, for messages */
    struct printer printer;
    struct journal journal;
    struct writer writer;
    struct source *source;
    struct compose compose;
    struct batch *filling; /* not yet sent; NULL outside of pump() */
    uv_signal_t interrupt, terminate;
    uv_timer_t unanswered; /* since a signal */
    bool is_endless;       /* clock and letters */
    bool is_stopping;      /* takes no more events */
    bool is_whole;         /* took all that it was to take */
    bool is_cut;           /* something ended it */
    bool is_unheard;       /* what it prints cannot be written, which was said */
    int signum;            /* that stopped it, or 0 */
    int exit_code;
    uint64_t taken;       /* events taken from the source */
    uint64_t last_number; /* of the input */
    uint64_t stopped_at;  /* the first of the input that Redis refused, if that was the reason */
    uint64_t behind_stop; /* events that Redis has, though they follow that one */
};

/* ---- the end ---- */

static void close_all(struct run *run) {
    if (uv_is_closing((uv_handle_t *)&run->interrupt))
        return;
    run->is_stopping = true;
    progress_close(&run->journal.progress);
    source_close(&run->source);
    writer_close(&run->writer);
    uv_close((uv_handle_t *)&run->interrupt, NULL);
    uv_close((uv_handle_t *)&run->terminate, NULL);
    uv_close((uv_handle_t *)&run->unanswered, NULL);
}

static bool is_settled(const struct run *run) {
    return writer_unanswered(&run->writer) == NULL && run->filling == NULL;
}

/* That some events failed says less than why the run ended. */
static void set_exit(struct run *run, int exit_code) {
    if (run->exit_code == EXIT_DONE || (run->exit_code == EXIT_REFUSED && exit_code > EXIT_REFUSED))
        run->exit_code = exit_code;
}

/* Take no more events; everything ends once no answer is outstanding. */
static void stop(struct run *run, int exit_code) {
    set_exit(run, exit_code);
    run->is_stopping = true;
    if (is_settled(run))
        close_all(run);
}

static void on_unanswered(uv_timer_t *timer) {
    struct run *run = timer->data;
    journal_say(&run->journal, "waiting for the answer of Redis; a second signal ends it now");
}

/* What never gives up is not waited for while Redis is away. */
static void on_signal(uv_signal_t *handle, int signum) {
    struct run *run = handle->data;
    bool is_urgent = run->signum != 0 || (run->is_endless && run->writer.is_in_trouble);
    run->signum = signum;
    run->is_cut = true;
    uv_timer_start(&run->unanswered, on_unanswered, UNANSWERED_MS, 0);
    stop(run, run->is_endless ? EXIT_DONE : EXIT_SIGNAL + signum);
    if (is_urgent)
        close_all(run);
}

/* ---- standard output ---- */

/* Nobody reads it any more, as after `| head`: that is a way to end a run, and no failure. */
static void flush_output(struct run *run) {
    if (run->printer.text.len == 0)
        return;
    if (terminal_is(run->printer.file))
        progress_hide(&run->journal.progress);
    int error = printer_flush(&run->printer, uv_now(run->interrupt.loop));
    if (error == 0 || run->is_unheard || (error == EPIPE && run->is_stopping))
        return;
    run->is_unheard = run->is_cut = true;
    if (error != EPIPE)
        journal_say(&run->journal,
                    "cannot write to standard output: %s; what was sent is published all the same",
                    strerror(error));
    stop(run, error != EPIPE ? EXIT_REFUSED : run->is_endless ? EXIT_DONE : EXIT_SIGNAL + SIGPIPE);
}

/* ---- items to batches ---- */

static void send_filling(struct run *run) {
    struct batch *b = run->filling;
    run->filling = NULL;
    if (b != NULL)
        writer_send(&run->writer, b);
}

static void refuse_item(struct run *run, const struct source_item *item) {
    const struct options *o = run->options;
    bool is_stopping = o->on_error == ON_ERROR_STOP;
    if (is_stopping)
        run->journal.tally.failed++;
    else
        run->journal.tally.skipped++;
    journal_bad(&run->journal, item, is_stopping);
    if (is_stopping)
        stop(run, run->journal.is_many ? EXIT_REFUSED : EXIT_USAGE);
    else
        set_exit(run, EXIT_REFUSED);
}

static void stop_whole(struct run *run) {
    run->is_whole = true;
    stop(run, EXIT_DONE);
}

static void take(struct run *run, struct source_item *item) {
    struct batch_event event;
    if (compose_event(&run->compose, item, &event) != RELAY_OK) {
        refuse_item(run, item);
        return;
    }
    if (event_is_large(&event.event))
        journal_large(&run->journal, item);
    if (run->filling != NULL && !batch_takes(run->filling, &event))
        send_filling(run);
    if (run->filling == NULL)
        run->filling = batch_new();
    batch_add(run->filling, &event, run->options->prefix);
    if (batch_is_full(run->filling))
        send_filling(run);
    if (++run->taken == run->options->count)
        stop_whole(run);
}

/* Take what the source has, as long as there is room; send what came together. */
static void pump(struct run *run) {
    enum source_state state = SOURCE_PASSED;
    while (!run->is_stopping && state != SOURCE_WAIT && writer_has_room(&run->writer)) {
        struct source_item item;
        state = source_next(run->source, &item);
        if (item.place.number > 0 && state != SOURCE_WAIT)
            run->last_number = item.place.number;
        switch (state) {
        case SOURCE_EVENT:
            take(run, &item);
            break;
        case SOURCE_BAD:
            refuse_item(run, &item);
            break;
        case SOURCE_PASSED:
        case SOURCE_WAIT:
            break;
        case SOURCE_END:
            if (run->options->resume_from > run->last_number)
                journal_say(&run->journal,
                            "the input has %" PRIu64
                            " line%s: there is nothing from --resume-from %" PRIu64 " on",
                            run->last_number, plural(run->last_number), run->options->resume_from);
            stop_whole(run);
            break;
        case SOURCE_FAILED:
            journal_say(&run->journal, "%s", item.why);
            stop(run, EXIT_USAGE);
            break;
        }
    }
    send_filling(run);
    if (run->is_stopping && is_settled(run))
        close_all(run);
}

static void on_wake(void *arg) {
    pump(arg);
}

/* ---- what became of them ---- */

static void on_room(void *arg) {
    pump(arg);
}

static void on_written(void *arg, const struct written *written) {
    struct run *run = arg;
    printer_put(&run->printer, written);
}

static void fail_batch(struct run *run, const struct batch *b, const char *what) {
    journal_batch(&run->journal, b, what);
    set_exit(run, EXIT_REFUSED);
    if (run->options->on_error != ON_ERROR_STOP)
        return;
    run->is_cut = true;
    if (b->failed > 0 && run->stopped_at == 0) {
        run->stopped_at = b->failed_number;
        run->behind_stop = b->published - b->published_before;
    }
    stop(run, EXIT_REFUSED);
}

static void fail_refused(struct run *run, const struct batch *b, const char *refusal) {
    struct buf what = BUF_INIT;
    buf_puts(&what, "Redis refused");
    if (run->journal.is_many && b->items_count > 1)
        buf_printf(&what, " %zu event%s", b->failed, plural(b->failed));
    buf_printf(&what, ": %s", refusal);
    fail_batch(run, b, what.data);
    buf_fini(&what);
}

/* Append "stored as ID", of one event, or "stored". */
static void put_stored(struct buf *out, const struct batch *b, const struct outcome *outcome) {
    struct publish_answer answer = outcome->answer;
    const char *id;
    size_t len;
    buf_puts(out, "stored");
    if (b->items_count == 1 && publish_answer_next(&answer, &id, &len))
        buf_printf(out, " as %.*s", (int)len, id);
}

static void fail_unannounced(struct run *run, const struct batch *b,
                             const struct outcome *outcome) {
    struct buf what = BUF_INIT;
    put_stored(&what, b, outcome);
    buf_puts(&what, ", but this Redis user may not publish on the topic's channel, so subscribers "
                    "see it only with a later event; do not publish it again, and ask "
                    "`sse-publish doctor` which right is missing");
    fail_batch(run, b, what.data);
    buf_fini(&what);
}

static void fail_unreplicated(struct run *run, const struct batch *b,
                              const struct outcome *outcome) {
    struct buf what = BUF_INIT;
    bool is_denied = outcome->wait_refusal != NULL &&
                     publish_error_kind(outcome->wait_refusal) == PUBLISH_DENIED;
    put_stored(&what, b, outcome);
    if (outcome->wait_refusal != NULL)
        buf_printf(&what,
                   ", but whether replicas have it is not known, since Redis refused WAIT: %s%s",
                   outcome->wait_refusal, is_denied ? "; the user needs the right +wait" : "");
    else
        buf_printf(&what, ", but %lld of %u replicas have it after %.3g s", outcome->replicas,
                   run->options->wait_replicas, (double)writer_wait_ms(&run->writer) / 1000);
    buf_printf(&what, "; %s",
               b->key.len > 0 ? "a retry with the same --key is safe"
                              : "a retry would publish it twice, unless both have the same --key");
    fail_batch(run, b, what.data);
    buf_fini(&what);
}

/* Redis has it; was all done that was asked for? */
static void check_stored(struct run *run, const struct batch *b, const struct outcome *outcome) {
    if (b->published == 0)
        return;
    if (!outcome->is_announced)
        fail_unannounced(run, b, outcome);
    else if (run->options->wait_replicas > 0 &&
             outcome->replicas < (long long)run->options->wait_replicas)
        fail_unreplicated(run, b, outcome);
}

static void on_outcome(void *arg, const struct batch *b, const struct outcome *outcome) {
    struct run *run = arg;
    struct tally *tally = &run->journal.tally;
    tally->published += b->published;
    run->behind_stop += run->stopped_at > 0 ? b->published : 0;
    tally->found += outcome->is_found ? b->published : 0;
    tally->duplicates += outcome->is_duplicate && !outcome->is_found ? b->published : 0;
    tally->failed += b->failed;
    for (size_t i = 0; i < b->topics_count && b->published > 0; i++)
        tally_topic(tally, b->names.data + b->topics[i].name.at, b->topics[i].name.len);
    if (outcome->is_lost) {
        tally->lost += b->items_count;
        journal_batch(&run->journal, b, "published or not: its answer was lost too long ago");
        set_exit(run, run->is_endless ? EXIT_DONE : EXIT_UNREACHABLE);
    } else if (outcome->refusal != NULL) {
        fail_refused(run, b, outcome->refusal);
    } else if (!b->is_live) {
        check_stored(run, b, outcome);
    }
    if (is_settled(run) || printer_is_due(&run->printer, uv_now(run->interrupt.loop)))
        flush_output(run);
    if (run->is_stopping && is_settled(run))
        close_all(run);
}

/* ---- the connection ---- */

static void on_trouble(void *arg, bool is_lost, const char *why) {
    struct run *run = arg;
    const char *address = run->address.data;
    if (is_lost)
        journal_say(&run->journal, "lost Redis at %s: %s; connecting again", address, why);
    else
        journal_say(&run->journal, "Redis at %s takes no events just now: %s; trying again",
                    address, why);
    if (run->is_stopping && run->is_endless)
        close_all(run);
}

static void on_again(void *arg) {
    struct run *run = arg;
    journal_say(&run->journal, "connected to Redis again");
}

static void on_end(void *arg, enum writer_end end, const char *why) {
    struct run *run = arg;
    struct journal *journal = &run->journal;
    const char *address = run->address.data;
    double timeout_s = (double)run->writer.options.timeout_ms / 1000;
    struct buf words = BUF_INIT;
    switch (end) {
    case WRITER_UNREACHABLE:
        journal_say(journal, "cannot reach Redis at %s: %s; --redis or REDIS_URL says where it is",
                    address, why);
        break;
    case WRITER_REFUSED:
        refusal_put_words(&words, why);
        refusal_put_hint(&words, why);
        journal_say(journal, "Redis at %s refused the connection: %s", address, words.data);
        break;
    case WRITER_REJECTED:
        refusal_put_hint(&words, why);
        journal_say(journal, "gave up after %.3g s in which Redis at %s took no events: %s%s",
                    timeout_s, address, why, words.len > 0 ? words.data : "");
        break;
    case WRITER_GAVE_UP:
        journal_say(journal, "gave up after %.3g s without an answer of Redis at %s: %s", timeout_s,
                    address, why);
        break;
    }
    bool was_reached = end == WRITER_REFUSED || end == WRITER_REJECTED;
    set_exit(run, was_reached ? EXIT_REFUSED : EXIT_UNREACHABLE);
    run->is_cut = true;
    close_all(run);
    buf_fini(&words);
}

static void on_writer_closed(void *arg) {
    (void)arg; /* the loop ends with it */
}

/* ---- the run ---- */

static void open_writer(struct run *run, uv_loop_t *loop) {
    const struct options *o = run->options;
    const struct writer_options options = {.redis = &o->redis,
                                           .prefix = o->prefix,
                                           .timeout_ms = o->timeout_ms > 0 ? o->timeout_ms
                                                                           : TIMEOUT_DEFAULT_MS,
                                           .is_patient = run->is_endless,
                                           .is_live = o->is_live,
                                           .wait_replicas = o->wait_replicas};
    static const struct writer_callbacks callbacks = {.on_room = on_room,
                                                      .on_written = on_written,
                                                      .on_outcome = on_outcome,
                                                      .on_trouble = on_trouble,
                                                      .on_again = on_again,
                                                      .on_end = on_end,
                                                      .on_closed = on_writer_closed};
    writer_start(&run->writer, loop, &options, &callbacks, run);
}

static void watch_signal(struct run *run, uv_loop_t *loop, uv_signal_t *handle, int signum) {
    uv_signal_init(loop, handle);
    handle->data = run;
    uv_signal_start(handle, on_signal, signum);
}

static void look(void *arg, struct progress_figures *figures) {
    struct run *run = arg;
    const struct tally *t = &run->journal.tally;
    figures->published = t->published;
    figures->errors = t->skipped + t->failed;
    figures->done = source_done(run->source);
    if (run->options->count > 0) {
        double done = (double)run->taken / (double)run->options->count;
        figures->done = done > figures->done ? done : figures->done;
    }
    if (terminal_is(run->printer.file))
        flush_output(run);
}

/* Where it goes on, if it ended before its input did. */
static void report_rest(struct run *run) {
    struct journal *journal = &run->journal;
    if (writer_unanswered(&run->writer) != NULL)
        journal_unanswered(journal, writer_unanswered(&run->writer));
    else if (run->stopped_at > 0)
        journal_refused(journal, run->stopped_at, run->behind_stop);
    else if (run->signum != 0 && !journal->is_many && journal->tally.published == 0)
        journal_say(journal, "nothing is published");
    else if (run->is_cut && !run->is_whole && run->writer.has_been_ready)
        journal_stopped(journal, run->last_number + 1);
}

static void end_run(struct run *run) {
    flush_output(run);
    run->journal.tally.doubled = run->writer.resent_live;
    run->journal.tally.overtaken = run->writer.overtaken;
    run->journal.is_many = run->journal.is_many && run->writer.has_been_ready;
    report_rest(run);
    journal_end(&run->journal);
    writer_fini(&run->writer);
    printer_fini(&run->printer);
    buf_fini(&run->address);
    compose_fini(&run->compose);
}

static void begin_run(struct run *run, FILE *out, FILE *err) {
    const struct options *o = run->options;
    bool has_many = source_has_lines(o) || o->repeat > 1;
    run->is_endless = o->command == COMMAND_CLOCK || o->command == COMMAND_LETTERS;
    compose_init(&run->compose, o);
    redis_url_describe(&o->redis, &run->address);
    printer_init(&run->printer, out, o);
    journal_init(&run->journal, err);
    run->journal.is_many = has_many || run->is_endless;
    run->journal.is_quiet = o->is_quiet;
    run->journal.can_resume = source_has_lines(o) && o->command == COMMAND_PUBLISH;
}

/* Whether somebody types it in. */
static bool is_typed(const struct options *o, int in_fd) {
    return o->command == COMMAND_PUBLISH && o->data == NULL && o->files_count == 0 && isatty(in_fd);
}

/* Not while somebody types the lines on the same terminal. */
static bool shows_progress(const struct run *run, int in_fd) {
    const struct options *o = run->options;
    return run->journal.is_many && !run->is_endless && !o->is_quiet && !is_typed(o, in_fd);
}

/* What somebody who did not mean it would not understand. */
static void say_notes(const struct options *o, int in_fd, FILE *err) {
    if (o->suggested_command != NULL)
        complain(err,
                 "\"%s\" is a topic here; was the command %s meant? (With -t %s it is a topic "
                 "for sure.)",
                 o->topics[0], o->suggested_command, o->topics[0]);
    if (is_typed(o, in_fd))
        complain(err, "reading standard input; Ctrl-D ends it");
}

int publish_run(const struct options *o, uv_loop_t *loop, int in_fd, FILE *out, FILE *err) {
    struct buf why = BUF_INIT;
    if (source_check(o, in_fd, &why) != RELAY_OK) {
        complain(err, "%s", why.data);
        buf_fini(&why);
        return EXIT_USAGE;
    }
    say_notes(o, in_fd, err);
    struct run *run = mem_zalloc(sizeof(*run));
    run->options = o;
    begin_run(run, out, err);
    watch_signal(run, loop, &run->interrupt, SIGINT);
    watch_signal(run, loop, &run->terminate, SIGTERM);
    uv_timer_init(loop, &run->unanswered);
    run->unanswered.data = run;
    run->source = source_open(o, loop, in_fd, on_wake, run);
    open_writer(run, loop);
    if (shows_progress(run, in_fd))
        progress_start(&run->journal.progress, loop, err, look, run);
    uv_run(loop, UV_RUN_DEFAULT);
    end_run(run);
    int exit_code = run->exit_code;
    free(run);
    return exit_code;
}
