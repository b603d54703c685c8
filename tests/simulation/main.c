/* Runs simulated worlds, one after the other, until time is up or one of them breaks a rule.
 *
 *   simulate [--seconds N] [--worlds N] [--seed SEED] [--without KIND,...] [--with KIND,...]
 *            [--world SEED [--whole] [--trace]]
 *
 * A failure is shrunk and told in words, and the exit code is 1. --world runs one world alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "relay/base/log.h"
#include "tests/simulation/record.h"
#include "tests/simulation/shrink.h"

enum { SHRINK_SECONDS = 8 };

struct options {
    uint64_t seed, world, worlds;
    double seconds;
    const char *rule; /* of the failures that count; NULL: each */
    bool alone, whole, trace;
};

/* What a process that runs worlds has come to; shared, so that it is known when it dies. */
struct progress {
    uint64_t world; /* the one that runs */
    uint64_t next;  /* the number of the one behind it */
    uint64_t worlds, steps, events, delivered, resets;
    double simulated_s;
    struct violation violation;
};

static struct world world;

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t world_seed(uint64_t base, uint64_t number) {
    struct dice d;
    dice_init(&d, base, number + 1);
    return dice_next(&d) >> 16; /* short enough to be typed */
}

static void add_up(struct progress *p) {
    p->worlds++;
    p->steps += world.steps;
    p->events += world.events_len;
    p->simulated_s += (double)world.scheduler.now_us / SECOND - 100;
    for (int i = 0; i < CLIENTS_MAX; i++) {
        p->delivered += world.clients[i].durable;
        p->resets += world.clients[i].resets;
    }
}

static void run_worlds(const struct options *o, struct progress *p, double end_s) {
    struct tape tape = {NULL, 0, 0};
    struct settings settings;
    while (o->worlds == 0 || p->next < o->worlds) {
        if (o->seconds > 0 && now_s() >= end_s)
            break;
        p->world = world_seed(o->seed, p->next++);
        tape_make(&tape, &settings, p->world);
        if (record_to != NULL && settings.memory_ms < 60 * 1000)
            continue; /* a real server's keys would die while they are compared */
        bool good = world_run(&world, p->world, &tape, &settings, false);
        add_up(p);
        bool counts = o->rule == NULL || strcmp(o->rule, world.violation.rule) == 0;
        if (!good && counts &&
            record_to == NULL) { /* records are of worlds, whatever came of them */
            p->violation = world.violation;
            return;
        }
    }
}

static void tell_failure(uint64_t seed, const struct options *o) {
    struct tape tape = {NULL, 0, 0};
    struct settings settings;
    struct outcome out;
    tape_make(&tape, &settings, seed);
    outcome_of(seed, &tape, &settings, o->trace && o->whole, &out);
    if (!out.violation.is) {
        printf("world %" PRIu64 ": all held, in %" PRIu64 " steps\n", seed, out.steps);
        return;
    }
    printf("world %" PRIu64 " breaks the rule \"%s\" at %.6f s, after %" PRIu64 " steps: %s\n",
           seed, out.violation.rule, (double)out.violation.at_us / SECOND, out.steps,
           out.violation.text);
    if (!o->whole) {
        unsigned runs = shrink(seed, &tape, &settings, out.violation.rule, SHRINK_SECONDS);
        outcome_of(seed, &tape, &settings, false, &out);
        printf("shrunk in %u runs to this, which breaks it at %.6f s: %s\n", runs,
               (double)out.violation.at_us / SECOND, out.violation.text);
    }
    if (o->alone || !o->whole)
        tape_tell(&tape, &settings);
    if (o->trace && !o->whole)
        outcome_of(seed, &tape, &settings, true, &out);
    printf("again: simulate --world %" PRIu64 " --trace\n", seed);
}

static bool run(const struct options *o) {
    struct progress *p =
        mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    double start_s = now_s(), end_s = start_s + o->seconds;
    if (p == MAP_FAILED)
        abort();
    fflush(stdout);
    bool died = false;
    do { /* where one rule counts, go on behind a world in which the process died */
        pid_t child = fork();
        if (child == 0) {
            run_worlds(o, p, end_s);
            if (record_to != NULL)
                fclose(record_to);
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child)
            abort();
        died = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    } while (died && o->rule != NULL && strcmp(o->rule, "crash") != 0);
    record_to = NULL; /* the child's */
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    double took_s = now_s() - start_s;
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("seed %" PRIu64 ": %" PRIu64 " worlds, %" PRIu64
           " steps in %.1f s (%.0f a second of CPU time), %.0f s of "
           "simulated time; %" PRIu64 " events, %" PRIu64 " deliveries, %" PRIu64 " resets\n",
           o->seed, p->worlds, p->steps, took_s, (double)p->steps / cpu_s, p->simulated_s,
           p->events, p->delivered, p->resets);
    if (!died && !p->violation.is)
        return true;
    tell_failure(p->world, o);
    return false;
}

static uint64_t number(const char *text) {
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
        fprintf(stderr, "simulate: %s is no number\n", text);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv) {
    struct options o = {.seed = (uint64_t)time(NULL)};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--trace") == 0) {
            o.trace = true;
            continue;
        }
        if (strcmp(argv[i], "--no-shrink") == 0) {
            o.whole = true;
            continue;
        }
        if (strcmp(argv[i], "--break") == 0) {
            check_breaks = true;
            continue;
        }
        if (strcmp(argv[i], "--whole") == 0) {
            o.whole = true;
            continue;
        }
        if (strcmp(argv[i], "--seconds") == 0)
            o.seconds = (double)number(value);
        else if (strcmp(argv[i], "--worlds") == 0)
            o.worlds = number(value);
        else if (strcmp(argv[i], "--seed") == 0)
            o.seed = number(value);
        else if (strcmp(argv[i], "--rule") == 0)
            o.rule = value;
        else if (strcmp(argv[i], "--record") == 0)
            record_to = fopen(value, "w");
        else if ((strcmp(argv[i], "--without") == 0 && tape_choose(value, false)) ||
                 (strcmp(argv[i], "--with") == 0 && tape_choose(value, true)))
            ; /* done */
        else if (strcmp(argv[i], "--world") == 0) {
            o.world = number(value);
            o.alone = true;
        } else {
            fprintf(stderr, "usage: simulate [--seconds N] [--worlds N] [--seed SEED] [--without "
                            "KIND,...] [--record FILE] [--rule RULE]\n"
                            "                [--world SEED [--whole] [--trace]]\n");
            return 2;
        }
        i++;
    }
    if (o.seconds == 0 && o.worlds == 0)
        o.seconds = 10;
    log_init((enum log_level)(LOG_LEVEL_ERROR + 1), LOG_FORMAT_LOGFMT);
    if (o.alone) {
        tell_failure(o.world, &o);
        return 0;
    }
    return run(&o) ? 0 : 1;
}
