/* One run of sse-publish; see publish.h. */
#include "publisher-cli/publish.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/source.h"
#include "publisher-cli/terminal.h"
#include "publisher-cli/writer.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/client.h"
#include "relay/wire/topic.h"

enum {
    REDIS_TIMEOUT_MS = 5000,
    WINDOW_EVENTS = 1024, /* on their way to Redis at most */
    WINDOW_BYTES = 1024 * 1024
};

struct run {
    const struct options *options;
    FILE *out, *err;
    struct redis_client client;
    struct writer writer;
    uv_signal_t interrupt, terminate;
    struct source *source;
    bool is_endless;    /* clock and letters */
    bool has_been_up;   /* a connection was ready once */
    bool is_stopping;   /* takes no more events */
    int exit_code;      /* the first that was not 0 */
    struct buf address; /* of Redis, for messages */
    struct buf last_id; /* of a durable event */

    uint64_t sent;            /* events given to Redis */
    uint64_t answered;        /* answers that came, or were lost */
    uint64_t published;       /* events that Redis has */
    uint64_t duplicates;      /* of these, published before */
    uint64_t published_bytes; /* of their data */
    uint64_t lost;            /* events whose answer was lost */
    uint64_t first_refused;   /* number of the first event that Redis refused, or 0 */
    char refusal[512];        /* what is wrong with that one */
};

/* One event that is on its way. */
struct sent {
    struct run *run;
    uint64_t number; /* from 1 */
    size_t bytes;    /* of its data */
};

/* ---- the end ---- */

static void close_all(struct run *run) {
    if (uv_is_closing((uv_handle_t *)&run->interrupt))
        return;
    source_close(&run->source);
    redis_client_close(&run->client);
    uv_close((uv_handle_t *)&run->interrupt, NULL);
    uv_close((uv_handle_t *)&run->terminate, NULL);
}

/* Everything ends once no answer is outstanding. */
static void close_when_answered(struct run *run) {
    if (run->is_stopping && run->answered == run->sent)
        close_all(run);
}

/* Take no more events; the first reason that is none to be glad of decides the exit code. */
static void stop(struct run *run, int exit_code) {
    if (run->exit_code == EXIT_PUBLISHED)
        run->exit_code = exit_code;
    run->is_stopping = true;
    close_when_answered(run);
}

static void on_signal(uv_signal_t *handle, int signum) {
    struct run *run = handle->data;
    if (run->is_stopping)
        close_all(run);
    else
        stop(run, run->is_endless ? EXIT_PUBLISHED : EXIT_SIGNAL + signum);
}

/* ---- events to Redis ---- */

/* What Redis counts are its own subscribers: a relay is one, however many clients it has. */
static void say_published(struct run *run, size_t bytes, const struct outcome *outcome) {
    const char *topic = run->options->topics[0];
    long long subscribers = outcome->subscribers;
    if (run->options->is_quiet || run->options->input == INPUT_LINES)
        return;
    if (outcome->id == NULL)
        fprintf(run->out, "published to %s: %zu byte%s, %lld Redis subscriber%s\n", topic, bytes,
                plural(bytes), subscribers, plural((uint64_t)subscribers));
    else
        fprintf(run->out, "%s to %s: %zu byte%s, id %.*s\n",
                outcome->duplicate ? "published before" : "published", topic, bytes, plural(bytes),
                (int)outcome->id_len, outcome->id);
    if (fflush(run->out) != 0) /* nobody listens any more */
        stop(run, EXIT_PUBLISHED);
}

/* It is stored; was all done that was asked for? Of many that follow each other, the first that was
 * not is told. */
static bool is_done(struct run *run, const struct outcome *outcome) {
    const struct options *o = run->options;
    int id_len = (int)outcome->id_len;
    bool is_first = run->exit_code == EXIT_PUBLISHED;
    if (!outcome->announced && is_first)
        complain(run->err,
                 "the event is stored as %.*s, but this Redis user may not publish on the topic's "
                 "channel, so subscribers see it only with a later event; do not publish it again",
                 id_len, outcome->id);
    if (!outcome->announced)
        return false;
    if (o->wait_replicas > 0 && outcome->replicas < (long long)o->wait_replicas) {
        char known[32] = "an unknown number";
        if (outcome->replicas >= 0)
            snprintf(known, sizeof(known), "%lld", outcome->replicas);
        complain(
            run->err, "the event is stored as %.*s, but %s of %u replicas have it after %d s; %s",
            id_len, outcome->id, known, o->wait_replicas, WRITER_WAIT_MS / 1000,
            o->key != NULL ? "a retry with the same --key is safe"
                           : "a retry would publish it twice, unless both have the same --key");
        return false;
    }
    return true;
}

static void pump(struct run *run);

static void on_stored(struct run *run, const struct sent *sent, const struct outcome *outcome) {
    run->published++;
    run->duplicates += outcome->duplicate;
    run->published_bytes += sent->bytes;
    if (outcome->id != NULL) {
        buf_reset(&run->last_id);
        buf_append(&run->last_id, outcome->id, outcome->id_len);
    }
    if (outcome->id != NULL && !is_done(run, outcome)) {
        stop(run, EXIT_REFUSED);
        return;
    }
    say_published(run, sent->bytes, outcome);
    pump(run);
}

static void on_outcome(void *arg, const struct outcome *outcome) {
    struct sent sent = *(struct sent *)arg;
    struct run *run = sent.run;
    free(arg);
    run->answered++;
    if (outcome->status == RELAY_OK) {
        on_stored(run, &sent, outcome);
    } else if (outcome->status == RELAY_EREMOTE) {
        if (run->first_refused == 0) {
            run->first_refused = sent.number;
            snprintf(run->refusal, sizeof(run->refusal), "%s", outcome->refusal);
        }
        stop(run, EXIT_REFUSED);
    } else {
        run->lost++;
        return; /* on_down() follows, or we are closing */
    }
    close_when_answered(run);
}

/* The data breaks a rule, @wrong says which. */
static void refuse_item(struct run *run, const struct source_item *item, const char *wrong) {
    if (item->line > 0)
        complain(run->err, "%s %" PRIu64 " %s; it is not published, and nothing that follows it is",
                 item->where, item->line, wrong);
    else
        complain(run->err, "%s %s; nothing is published", item->where, wrong);
    stop(run, EXIT_USAGE);
}

/* False where the event cannot be published: the run is stopping then, or the connection gone. */
static bool publish(struct run *run, const struct source_item *item) {
    struct event event = item->event;
    const char *wrong = data_check(event.data, event.data_len);
    if (wrong != NULL) {
        refuse_item(run, item, wrong);
        return false;
    }
    event.name = run->options->event;
    event.name_len = event.name == NULL ? 0 : strlen(event.name);
    event.retry_ms = run->options->retry_ms;

    struct sent *sent = mem_zalloc(sizeof(*sent));
    *sent = (struct sent){.run = run, .number = run->sent + 1, .bytes = event.data_len};
    if (writer_send(&run->writer, &event, item->line, on_outcome, sent) != RELAY_OK) {
        free(sent); /* the connection is ending */
        return false;
    }
    run->sent++;
    return true;
}

/* Where replicas are waited for, one event at a time: each WAIT may take its whole time. */
static bool has_room(const struct run *run) {
    uint64_t window = run->options->wait_replicas > 0 ? 1 : WINDOW_EVENTS;
    return writer_is_ready(&run->writer) && run->sent - run->answered < window &&
           redis_client_unsent_bytes(&run->client) < WINDOW_BYTES;
}

static void pump(struct run *run) {
    bool is_going = true;
    while (is_going && !run->is_stopping && has_room(run)) {
        struct source_item item;
        switch (source_next(run->source, &item)) {
        case SOURCE_EVENT:
            is_going = publish(run, &item);
            break;
        case SOURCE_WAIT:
            is_going = false;
            break;
        case SOURCE_END:
            stop(run, EXIT_PUBLISHED);
            break;
        case SOURCE_FAILED:
            complain(run->err, "cannot read standard input: %s", item.why);
            stop(run, EXIT_USAGE);
            break;
        }
    }
}

static void on_wake(void *arg) {
    pump(arg);
}

/* ---- the connection ---- */

static void on_up(void *arg) {
    struct run *run = arg;
    if (run->has_been_up)
        complain(run->err, "connected to Redis again");
    run->has_been_up = true;
    writer_up(&run->writer);
}

static void on_ready(void *arg) {
    pump(arg);
}

static void on_refused(void *arg, const char *why) {
    struct run *run = arg;
    complain(run->err, "Redis at %s refused to tell its run_id, which durable events need: %s",
             run->address.data, why);
    stop(run, EXIT_REFUSED);
}

static void on_down(void *arg, bool was_ready, int status, const char *why) {
    struct run *run = arg;
    const char *address = run->address.data;
    writer_down(&run->writer);
    if (run->is_stopping && run->is_endless) {
        close_all(run);
    } else if (was_ready && run->is_endless) {
        complain(run->err, "lost Redis at %s: %s; connecting again", address, why);
    } else if (was_ready) {
        complain(run->err, "lost Redis at %s: %s", address, why);
        stop(run, EXIT_UNREACHABLE);
    } else if (run->has_been_up) {
        return; /* it was said that the connection is lost */
    } else if (status == RELAY_EREMOTE) {
        complain(run->err, "Redis at %s refused the connection: %s", address, why);
        stop(run, EXIT_REFUSED);
    } else {
        complain(run->err, "cannot reach Redis at %s: %s; --redis or REDIS_URL says where it is",
                 address, why);
        stop(run, EXIT_UNREACHABLE);
    }
}

static void on_client_closed(void *arg) {
    (void)arg; /* the loop ends with it */
}

/* ---- the run ---- */

static struct source *open_source(struct run *run, uv_loop_t *loop, int in_fd) {
    const struct options *o = run->options;
    switch (o->command) {
    case COMMAND_CLOCK:
        return source_clock_new(loop, o->every_ms, on_wake, run);
    case COMMAND_LETTERS:
        return source_letters_new(loop, o->every_ms, on_wake, run);
    default:
        if (o->data != NULL)
            return source_text_new(o->data, on_wake, run);
        return source_input_new(loop, in_fd, o->input == INPUT_LINES, on_wake, run);
    }
}

static void watch_signal(struct run *run, uv_loop_t *loop, uv_signal_t *handle, int signum) {
    uv_signal_init(loop, handle);
    handle->data = run;
    uv_signal_start(handle, on_signal, signum);
}

/* What became of the events, as far as it was not said. */
static void report(struct run *run) {
    bool is_lines = run->options->input == INPUT_LINES;
    if (is_lines && !run->options->is_quiet) {
        fprintf(run->out, "published to %s: %" PRIu64 " event%s, %" PRIu64 " byte%s",
                run->options->topics[0], run->published, plural(run->published),
                run->published_bytes, plural(run->published_bytes));
        if (run->last_id.len > 0)
            fprintf(run->out, ", last id %s", run->last_id.data);
        if (run->duplicates > 0)
            fprintf(run->out, ", %" PRIu64 " of them published before", run->duplicates);
        fputc('\n', run->out);
        fflush(run->out);
    }
    if (run->first_refused > 0 && is_lines)
        complain(run->err,
                 "Redis refused line %" PRIu64 ": %s; of the %" PRIu64 " lines that were sent "
                 "behind it, %" PRIu64 " are published",
                 run->first_refused, run->refusal, run->sent - run->first_refused,
                 run->published - (run->first_refused - 1));
    else if (run->first_refused > 0)
        complain(run->err, "Redis refused: %s", run->refusal);
    if (run->lost > 0 && is_lines)
        complain(run->err,
                 "lines %" PRIu64 " to %" PRIu64 " may be published or not: their answers were "
                 "lost; what follows them is not",
                 run->sent - run->lost + 1, run->sent);
    else if (run->lost > 0 && !run->is_endless)
        complain(run->err, "the event may be published or not: its answer was lost");
}

int publish_run(const struct options *o, uv_loop_t *loop, int in_fd, FILE *out, FILE *err) {
    struct run run = {.options = o, .out = out, .err = err};
    const struct redis_conn_options redis = {
        .url = &o->redis, .client_name = "sse-publish", .timeout_ms = REDIS_TIMEOUT_MS};
    const struct redis_client_callbacks callbacks = {
        .on_up = on_up, .on_down = on_down, .on_closed = on_client_closed};
    run.is_endless = o->command == COMMAND_CLOCK || o->command == COMMAND_LETTERS;
    writer_init(&run.writer, o, &run.client, on_ready, on_refused, &run);
    redis_url_describe(&o->redis, &run.address);

    watch_signal(&run, loop, &run.interrupt, SIGINT);
    watch_signal(&run, loop, &run.terminate, SIGTERM);
    run.source = open_source(&run, loop, in_fd);
    redis_client_start(&run.client, loop, &redis, &callbacks, &run);
    uv_run(loop, UV_RUN_DEFAULT);
    report(&run);

    writer_fini(&run.writer);
    buf_fini(&run.address);
    buf_fini(&run.last_id);
    return run.exit_code;
}
