/* Making a failure small: delta debugging over the tape, then over the settings. See shrink.h. */
#include "tests/simulation/shrink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct world world;

static void *shared(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

void outcome_of(uint64_t seed, struct tape *tape, const struct settings *s, bool trace,
                struct outcome *out) {
    static struct outcome *told;
    int status = 0;
    if (told == NULL)
        told = shared(sizeof(*told));
    memset(told, 0, sizeof(*told));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!trace && freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        alarm(60);
        world_run(&world, seed, tape, s, trace);
        told->violation = world.violation;
        told->steps = world.steps;
        fflush(stdout);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        abort();
    *out = *told;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    out->violation.is = true;
    snprintf(out->violation.rule, sizeof(out->violation.rule), "crash");
    snprintf(out->violation.text, sizeof(out->violation.text),
             "the process died (%s %d): run it alone to see why",
             WIFSIGNALED(status) ? "signal" : "exit code",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

struct search {
    uint64_t seed;
    struct tape *tape;
    struct settings *settings;
    const char *rule;
    unsigned runs;
    time_t end;
};

static bool still_fails(struct search *s) {
    struct outcome out;
    if (time(NULL) >= s->end)
        return false;
    s->runs++;
    outcome_of(s->seed, s->tape, s->settings, false, &out);
    return out.violation.is && strcmp(out.violation.rule, s->rule) == 0;
}

/* Drop @len actions that are there from the @at-th on. Returns how many there were. */
static unsigned set_dropped(struct tape *tape, unsigned at, unsigned len, unsigned *which) {
    unsigned n = 0, seen = 0;
    for (unsigned i = 0; i < tape->len && n < len; i++) {
        if (tape->actions[i].dropped)
            continue;
        if (seen++ >= at) {
            tape->actions[i].dropped = true;
            which[n++] = i;
        }
    }
    return n;
}

static unsigned left(const struct tape *tape) {
    unsigned n = 0;
    for (unsigned i = 0; i < tape->len; i++)
        n += !tape->actions[i].dropped;
    return n;
}

static bool drop_some(struct search *s) {
    bool any = false;
    unsigned *which = calloc(s->tape->len + 1, sizeof(*which));
    for (unsigned len = (left(s->tape) + 1) / 2; len > 0; len /= 2)
        for (unsigned at = 0; at < left(s->tape);) {
            unsigned n = set_dropped(s->tape, at, len, which);
            if (still_fails(s)) {
                any = true;
                continue;
            }
            for (unsigned i = 0; i < n; i++)
                s->tape->actions[which[i]].dropped = false;
            at += len;
        }
    free(which);
    return any;
}

static bool try_settings(struct search *s, const struct settings *with) {
    struct settings before = *s->settings;
    if (memcmp(&before, with, sizeof(before)) == 0)
        return false;
    *s->settings = *with;
    if (still_fails(s))
        return true;
    *s->settings = before;
    return false;
}

/* Fewer nodes and workers, no jitter, larger bounds. */
static bool take_away(struct search *s) {
    bool any = false;
    struct settings with;
#define TRY(field, value)                                                                          \
    with = *s->settings;                                                                           \
    with.field = (value);                                                                          \
    any = try_settings(s, &with) || any
    TRY(nodes, 1);
    TRY(workers, 1);
    TRY(topics, 1);
    TRY(topics, 2);
    TRY(calm, true);
    TRY(tail_one_in, 0);
    TRY(max_age_ms, 0);
    TRY(replay_limit, 0);
    TRY(ring_node, 64 * 1024 * 1024);
    TRY(ring_topic, 1024 * 1024);
    TRY(outbox, 64 * 1024);
    TRY(inbox_messages, 65536);
    TRY(history, 1000);
    TRY(node_entries, 1);
    TRY(memory_ms, UINT64_C(7) * 24 * 3600 * 1000);
    TRY(ttl_ms, 3600 * 1000);
#undef TRY
    return any;
}

/* One event where there are many, of no size. */
static bool simplify(struct search *s) {
    bool any = false;
    for (unsigned i = 0; i < s->tape->len; i++) {
        struct action *a = &s->tape->actions[i], before = *a;
        if (a->dropped || a->kind != ACT_PUBLISH || (a->b == 1 && a->c == 0))
            continue;
        a->b = 1;
        a->c = 0;
        if (still_fails(s))
            any = true;
        else
            *a = before;
    }
    return any;
}

unsigned shrink(uint64_t seed, struct tape *tape, struct settings *settings, const char *rule,
                unsigned seconds) {
    struct search s = {.seed = seed,
                       .tape = tape,
                       .settings = settings,
                       .rule = rule,
                       .end = time(NULL) + (time_t)seconds};
    bool any = true;
    while (any && time(NULL) < s.end) {
        any = drop_some(&s);
        any = take_away(&s) || any;
        any = simplify(&s) || any;
    }
    return s.runs;
}
