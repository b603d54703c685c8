/* The load generator: subscribes many clients to one topic, publishes to it, and reports in one
 * line of JSON what arrived, how late, and what the server used for it.
 *
 * Four modes share one run (connect, warm up, measure, drain, report) and differ in the traffic of
 * its measured part:
 *   load      an open loop: events leave at times fixed in advance, and latency counts from those,
 * so that a stall of the server shows in every event that was due meanwhile saturate  the next
 * event as soon as the answers and the backlog allow idle      nothing: what do connections cost
 * that only stay open connect   each connection is closed at its first bytes and replaced by the
 * next The main thread publishes; receivers (receiver.h) are threads of their own. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/bench/publisher.h"
#include "tests/bench/receiver.h"
#include "tests/bench/usage.h"

#define SECOND_NS UINT64_C(1000000000)

enum { THREADS_MAX = 16, FDS_RESERVED = 64 };

struct usage_sample {
    uint64_t cpu_ns[USAGE_GROUPS];
    uint64_t memory[USAGE_GROUPS];
};

struct run {
    /* what was asked for */
    const struct mode *mode;
    const char *subscribe_path;
    const char *ready_event;
    struct address target;
    struct publish_target publish;
    unsigned subscribers, threads, in_flight, streams;
    bool tls, resume;
    bool publish_elsewhere; /* not to the target */
    double rate, seconds, warmup_seconds, grace_seconds;
    uint64_t outstanding, backlog;
    struct usage_groups usage;
    /* what runs */
    char request[1024];
    struct receiver_options share[THREADS_MAX];
    struct receiver receivers[THREADS_MAX];
    struct publisher publisher;
    struct histogram lateness; /* of the publisher against its own schedule */
    /* what was measured */
    uint64_t first, delivered_before, churned_before;
    uint64_t delivered, churned, window_ns, generator_ns, warmup_lost;
    struct usage_sample idle, before, after; /* without connections; around the measured part */
};

struct mode {
    const char *name;
    void (*traffic)(struct run *r, double seconds);
    bool publishes, churns;
};

static void die(const char *what, const char *detail) {
    fprintf(stderr, "sseload: %s%s%s\n", what, detail != NULL ? ": " : "",
            detail != NULL ? detail : "");
    exit(1);
}

static uint64_t delivered(const struct run *r) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < r->threads; i++)
        sum += atomic_load_explicit(&r->receivers[i].delivered, memory_order_relaxed);
    return sum;
}

/* Deliveries of this part of the run that are still to come. */
static uint64_t undelivered(const struct run *r) {
    uint64_t due = (r->publisher.sent - r->first) * r->subscribers;
    uint64_t done = delivered(r) - r->delivered_before;
    return due > done ? due - done : 0;
}

static uint64_t churned(const struct run *r) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < r->threads; i++)
        sum += atomic_load_explicit(&r->receivers[i].churned, memory_order_relaxed);
    return sum;
}

static unsigned ready(const struct run *r) {
    unsigned sum = 0;
    for (unsigned i = 0; i < r->threads; i++)
        sum += atomic_load_explicit(&r->receivers[i].ready, memory_order_relaxed);
    return sum;
}

static void nap(uint64_t ns) {
    struct timespec t = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};
    nanosleep(&t, NULL);
}

static uint64_t seconds_ns(double seconds) {
    return (uint64_t)(seconds * (double)SECOND_NS);
}

/* Traffic: the open loop. */
static void traffic_paced(struct run *r, double seconds) {
    uint64_t start = now_ns();
    uint64_t count = (uint64_t)(r->rate * seconds);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t due = start + (uint64_t)((double)i / r->rate * (double)SECOND_NS);
        publisher_rest(&r->publisher, due);
        histogram_note(&r->lateness, now_ns() - due);
        publisher_send(&r->publisher, due);
    }
}

/* Traffic: as fast as answers and deliveries come back. The bound on the backlog keeps the server's
 * queues, and those of the kernel, from hiding how much really arrives. */
static void traffic_full(struct run *r, double seconds) {
    uint64_t end = now_ns() + seconds_ns(seconds);
    while (now_ns() < end) {
        publisher_wait(&r->publisher, r->outstanding - 1, end);
        if (undelivered(r) >= r->backlog * r->subscribers)
            publisher_rest(&r->publisher, now_ns() + 50000);
        else
            publisher_send(&r->publisher, now_ns());
    }
}

/* Traffic: none from here. */
static void traffic_none(struct run *r, double seconds) {
    (void)r;
    nap(seconds_ns(seconds));
}

static const struct mode modes[] = {
    {"load", traffic_paced, true, false},
    {"saturate", traffic_full, true, false},
    {"idle", traffic_none, false, false},
    {"connect", traffic_none, false, true},
};

/* Wait until everything sent has arrived or nothing moved for the grace; returns when it last
 * moved. */
static uint64_t drain(struct run *r) {
    if (r->mode->publishes)
        publisher_wait(&r->publisher, 0, now_ns() + seconds_ns(r->grace_seconds));
    uint64_t moved = now_ns(), last = undelivered(r);
    while (last > 0 && now_ns() - moved < seconds_ns(r->grace_seconds)) {
        nap(500000);
        uint64_t left = undelivered(r);
        if (left != last)
            moved = now_ns();
        last = left;
    }
    return moved;
}

static void sample(const struct run *r, struct usage_sample *s) {
    for (unsigned i = 0; i < r->usage.count; i++) {
        s->memory[i] = usage_memory(&r->usage.groups[i]);
        s->cpu_ns[i] = usage_cpu_ns(&r->usage.groups[i]);
    }
}

static uint64_t own_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void start_receivers(struct run *r) {
    snprintf(r->request, sizeof(r->request),
             "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", r->subscribe_path,
             r->target.text);
    for (unsigned i = 0; i < r->threads; i++) {
        r->share[i] = (struct receiver_options){
            .target = r->target,
            .request = r->request,
            .ready_event = r->ready_event,
            .payload_bytes = r->publish.payload_bytes,
            .path = r->subscribe_path,
            .subscribers = (r->subscribers + r->threads - 1 - i) / r->threads,
            .streams = r->streams,
            .tls = r->tls,
            .resume = r->resume,
            .in_flight = r->in_flight,
            .block = 10 + i,
            .churn = r->mode->churns,
        };
        if (!receiver_start(&r->receivers[i], &r->share[i]))
            die("a receiver does not start", strerror(errno));
    }
}

static void wait_ready(const struct run *r) {
    uint64_t deadline = now_ns() + 60 * SECOND_NS;
    while (ready(r) < r->subscribers) {
        if (now_ns() > deadline) {
            char text[64];
            snprintf(text, sizeof(text), "%u of %u", ready(r), r->subscribers);
            die("subscribers were not ready within a minute", text);
        }
        nap(2000000);
    }
    nap(seconds_ns(0.3));
}

static void measure(struct run *r) {
    r->warmup_lost = undelivered(r);
    r->first = r->publisher.sent;
    r->delivered_before = delivered(r);
    for (unsigned i = 0; i < r->threads; i++)
        atomic_store(&r->receivers[i].first, r->first);
    memset(&r->lateness, 0, sizeof(r->lateness));
    sample(r, &r->before);
    r->churned_before = churned(r);
    uint64_t own = own_cpu_ns(), start = now_ns();
    r->mode->traffic(r, r->seconds);
    r->churned = churned(r) - r->churned_before;
    r->window_ns = drain(r) - start;
    r->generator_ns = own_cpu_ns() - own;
    sample(r, &r->after);
    r->delivered = delivered(r) - r->delivered_before;
}

static void run(struct run *r) {
    prctl(PR_SET_TIMERSLACK, 1000);
    if (r->mode->publishes && !publisher_open(&r->publisher, &r->publish))
        die("the publisher does not connect", strerror(errno));
    sample(r, &r->idle);
    start_receivers(r);
    if (!r->mode->churns)
        wait_ready(r);
    r->mode->traffic(r, r->warmup_seconds);
    drain(r);
    measure(r);
    for (unsigned i = 0; i < r->threads; i++)
        receiver_stop(&r->receivers[i]);
}

/* Sum the receivers' figures into @sum, and return the events that never arrived. */
static uint64_t collect(const struct run *r, struct receiver_figures *sum) {
    uint64_t lost = 0;
    for (unsigned i = 0; i < r->threads; i++) {
        const struct receiver_figures *f = &r->receivers[i].figures;
        sum->events += f->events;
        sum->late += f->late;
        sum->duplicates += f->duplicates;
        sum->damaged += f->damaged;
        sum->resets += f->resets;
        sum->refused += f->refused;
        sum->broken += f->broken;
        histogram_merge(&sum->latency, &f->latency);
        if (!r->mode->churns)
            lost += receiver_lost(&r->receivers[i], r->publisher.sent);
    }
    return lost;
}

static void print_quantiles(const char *name, const struct histogram *h) {
    printf("\"%s\": {\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}, ", name,
           (double)histogram_quantile(h, 0.5) / 1e3, (double)histogram_quantile(h, 0.99) / 1e3,
           (double)histogram_quantile(h, 0.999) / 1e3, (double)h->max / 1e3);
}

static void print_number(const char *name, uint64_t value) {
    printf("\"%s\": %llu, ", name, (unsigned long long)value);
}

static void print_usage_of_others(const struct run *r) {
    printf("\"usage\": {");
    for (unsigned i = 0; i < r->usage.count; i++) {
        printf("%s\"%s\": {", i > 0 ? ", " : "", r->usage.groups[i].name);
        print_number("cpu_ns", r->after.cpu_ns[i] - r->before.cpu_ns[i]);
        print_number("memory_idle", r->idle.memory[i]);
        print_number("memory_before", r->before.memory[i]);
        printf("\"memory_after\": %llu}", (unsigned long long)r->after.memory[i]);
    }
    printf("}");
}

/* What was agreed on, so that nobody compares two ciphers, and sessions that were taken up again.
 */
static void print_tls(const struct run *r) {
    uint64_t resumed = 0;
    for (unsigned i = 0; r->tls && i < r->threads; i++)
        resumed += r->receivers[i].tls.resumed;
    print_number("resumed", resumed);
    printf("\"tls\": \"%s\", ", r->tls ? r->receivers[0].tls.agreed : "");
}

static void report(const struct run *r) {
    static struct receiver_figures sum; /* large: a histogram */
    uint64_t lost = collect(r, &sum);
    double seconds = (double)r->window_ns / (double)SECOND_NS;
    printf("{\"mode\": \"%s\", ", r->mode->name);
    print_number("subscribers", r->subscribers);
    printf("\"seconds\": %.4f, ", seconds);
    print_number("events", r->publisher.sent - r->first);
    print_number("deliveries", r->delivered);
    printf("\"deliveries_per_second\": %.0f, ", (double)r->delivered / seconds);
    print_number("lost", lost);
    print_number("duplicates", sum.duplicates);
    print_number("late", sum.late);
    print_number("damaged", sum.damaged);
    print_number("resets", sum.resets);
    print_number("refused", sum.refused);
    print_number("broken", sum.broken);
    print_number("publish_refused", r->publisher.refused);
    print_number("unanswered", r->publisher.sent - r->publisher.answered);
    print_number("warmup_lost", r->warmup_lost);
    print_quantiles("latency_us", &sum.latency);
    print_quantiles("publisher_late_us", &r->lateness);
    print_number("connections", r->churned);
    printf("\"connections_per_second\": %.0f, ", (double)r->churned / seconds);
    print_tls(r);
    printf("\"generator_cores\": %.3f, ", (double)r->generator_ns / (double)r->window_ns);
    print_usage_of_others(r);
    printf("}\n");
}

static const char help[] =
    "usage: sseload load|saturate|idle|connect --target HOST:PORT [options]\n"
    "  --subscribe PATH      what subscribers GET (/sse?topic=bench)\n"
    "  --ready-event NAME    a subscriber is ready with this event (with its head)\n"
    "  --tls                 subscribers speak TLS; publishers never do\n"
    "  --resume              ... and take up the session before, where the server lets them\n"
    "  --streams N           subscribers speak HTTP/2, N of them on each connection\n"
    "  --publish-http PATH   publish by POST (/sse?topic=bench)\n"
    "  --publish-at ADDR     where to POST (the target)\n"
    "  --publish-redis ADDR  publish by PUBLISH; HOST:PORT or unix:/path\n"
    "  --channel NAME        the channel of PUBLISH (sse:bench)\n"
    "  --subscribers N       in connect mode those at a time (100)\n"
    "  --rate R              load: events a second (100)\n"
    "  --size BYTES          of each event's data (100)\n"
    "  --seconds S           measured part (5)\n"
    "  --warmup S            the same traffic before it (1)\n"
    "  --grace S             how long without progress means lost (3)\n"
    "  --outstanding N       saturate: publishes not yet answered (1)\n"
    "  --backlog N           saturate: events not yet delivered to all (64)\n"
    "  --in-flight N         subscribers connecting at a time (128)\n"
    "  --threads N           receiving threads (1)\n"
    "  --pid NAME:PID        report the use of a process under a name; repeatable\n";

static double number(const char *option, const char *text, double low, double high) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high))
        die(option, "not a number within its range");
    return value;
}

static void set_option(struct run *r, const char *name, const char *value) {
    if (strcmp(name, "target") == 0 && !address_parse(&r->target, value))
        die(name, "want A.B.C.D:PORT");
    else if (strcmp(name, "subscribe") == 0)
        r->subscribe_path = value;
    else if (strcmp(name, "ready-event") == 0)
        r->ready_event = value;
    else if (strcmp(name, "publish-http") == 0)
        r->publish.name = value;
    else if (strcmp(name, "publish-redis") == 0) {
        r->publish.redis = true;
        if (!address_parse(&r->publish.address, value))
            die(name, "want A.B.C.D:PORT or unix:/path");
    } else if (strcmp(name, "publish-at") == 0) {
        r->publish_elsewhere = true;
        if (!address_parse(&r->publish.address, value))
            die(name, "want A.B.C.D:PORT");
    } else if (strcmp(name, "channel") == 0)
        r->publish.name = value;
    else if (strcmp(name, "tls") == 0)
        r->tls = true;
    else if (strcmp(name, "resume") == 0)
        r->resume = true;
    else if (strcmp(name, "streams") == 0)
        r->streams = (unsigned)number(name, value, 1, 1000);
    else if (strcmp(name, "subscribers") == 0)
        r->subscribers = (unsigned)number(name, value, 1, 1e6);
    else if (strcmp(name, "rate") == 0)
        r->rate = number(name, value, 0.001, 1e6);
    else if (strcmp(name, "size") == 0)
        r->publish.payload_bytes =
            (size_t)number(name, value, PAYLOAD_MIN_BYTES, PAYLOAD_MAX_BYTES);
    else if (strcmp(name, "seconds") == 0)
        r->seconds = number(name, value, 0.01, 86400);
    else if (strcmp(name, "warmup") == 0)
        r->warmup_seconds = number(name, value, 0, 86400);
    else if (strcmp(name, "grace") == 0)
        r->grace_seconds = number(name, value, 0.01, 600);
    else if (strcmp(name, "outstanding") == 0)
        r->outstanding = (uint64_t)number(name, value, 1, 1e6);
    else if (strcmp(name, "backlog") == 0)
        r->backlog = (uint64_t)number(name, value, 1, 1e6);
    else if (strcmp(name, "in-flight") == 0)
        r->in_flight = (unsigned)number(name, value, 1, 1e6);
    else if (strcmp(name, "threads") == 0)
        r->threads = (unsigned)number(name, value, 1, THREADS_MAX);
    else if (strcmp(name, "pid") == 0 && !usage_add(&r->usage, value))
        die(name, "want NAME:PID of a running process");
}

static void parse(struct run *r, int argc, char **argv) {
    static const char *const names[] = {
        "target",      "subscribe", "ready-event", "publish-http", "publish-redis", "channel",
        "subscribers", "rate",      "size",        "seconds",      "warmup",        "grace",
        "outstanding", "backlog",   "in-flight",   "threads",      "pid",           "streams",
        "publish-at",  "tls",       "resume"};
    enum { NAMES = sizeof(names) / sizeof(names[0]), FLAGS = 2 /* the last ones take no value */ };
    struct option options[NAMES + 2] = {[NAMES] = {"help", no_argument, NULL, 'h'}};
    for (int i = 0; i < NAMES; i++)
        options[i] =
            (struct option){names[i], i < NAMES - FLAGS ? required_argument : no_argument, NULL, 0};
    int index, c;
    while ((c = getopt_long(argc, argv, "", options, &index)) == 0)
        set_option(r, names[index], optarg);
    bool asked = c == 'h';
    if (asked || c != -1 || optind != argc - 1) {
        fputs(help, asked ? stdout : stderr);
        exit(asked ? 0 : 2);
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[optind], modes[i].name) == 0)
            r->mode = &modes[i];
    }
    if (r->mode == NULL || r->target.length == 0)
        die("want a mode and --target", "see --help");
    if (r->mode->churns && r->streams > 1)
        die("connect", "with --streams 1 only: each connection ends at its first head");
}

/* Raise the limit of descriptors as far as it goes, and refuse what would not fit. */
static void check_descriptors(const struct run *r) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit", strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (r->subscribers + FDS_RESERVED > limit.rlim_cur)
        die("more subscribers than file descriptors; raise the hard limit (ulimit -Hn)", NULL);
}

int main(int argc, char **argv) {
    static struct run r; /* large: histograms */
    r.subscribe_path = "/sse?topic=bench";
    r.publish.payload_bytes = 100;
    r.subscribers = r.in_flight = 128;
    r.subscribers = 100;
    r.rate = 100;
    r.seconds = 5;
    r.warmup_seconds = 1;
    r.grace_seconds = 3;
    r.outstanding = r.threads = 1;
    r.backlog = 64;
    parse(&r, argc, argv);
    if (r.publish.name == NULL)
        r.publish.name = r.publish.redis ? "sse:bench" : "/sse?topic=bench";
    if (!r.publish.redis && !r.publish_elsewhere)
        r.publish.address = r.target;
    check_descriptors(&r);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
    run(&r);
    report(&r);
    for (unsigned i = 0; i < r.threads; i++)
        receiver_free(&r.receivers[i]);
    if (r.mode->publishes)
        publisher_close(&r.publisher);
    return 0;
}
