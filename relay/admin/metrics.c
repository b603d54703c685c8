/* Figures to text; see metrics.h. Counters end in _total, and units stand in the names. */
#include "relay/admin/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <uv.h>

/* ---- lines ---- */

static void head(struct buf *out, const char *name, const char *type, const char *help) {
    buf_printf(out, "# HELP sse_relay_%s %s\n# TYPE sse_relay_%s %s\n", name, help, name, type);
}

static void single(struct buf *out, const char *name, const char *type, const char *help,
                   uint64_t value) {
    head(out, name, type, help);
    buf_printf(out, "sse_relay_%s %" PRIu64 "\n", name, value);
}

static void labelled(struct buf *out, const char *name, const char *label, const char *value,
                     uint64_t n) {
    buf_printf(out, "sse_relay_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, n);
}

/* A duration in seconds, as decimals. */
static void put_seconds(struct buf *out, uint64_t us) {
    buf_printf(out, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

/* ---- sums over the workers ---- */

/* The sum of the figure at @offset of each worker's hub or http figures. */
enum owner { OF_HUB, OF_HTTP };

static uint64_t sum(const struct metrics_source *s, enum owner owner, size_t offset) {
    uint64_t total = 0;
    for (size_t i = 0; i < s->workers_len; i++) {
        const void *base =
            owner == OF_HUB ? (const void *)s->workers[i].hub : (const void *)s->workers[i].http;
        total += figure_get((const figure *)(const void *)((const char *)base + offset));
    }
    return total;
}

struct summed {
    enum owner owner;
    size_t offset;
    const char *name, *type, *help;
};

static const struct summed summed[] = {
    {OF_HTTP, offsetof(struct http_figures, connections), "connections", "gauge",
     "Client connections open now."},
    {OF_HTTP, offsetof(struct http_figures, accepted), "connections_accepted_total", "counter",
     "Client connections accepted."},
    {OF_HTTP, offsetof(struct http_figures, accept_paused), "accept_pauses_total", "counter",
     "Times that accepting paused: descriptors ran short, or connections were far beyond the "
     "limit."},
    {OF_HTTP, offsetof(struct http_figures, requests), "http_requests_total", "counter",
     "HTTP requests read."},
    {OF_HUB, offsetof(struct hub_figures, subscribers), "subscribers", "gauge",
     "Streams open now."},
    {OF_HUB, offsetof(struct hub_figures, lagging), "subscribers_lagging", "gauge",
     "Streams that get no durable events until they have drained; then they are replayed."},
    {OF_HUB, offsetof(struct hub_figures, replaying), "subscribers_replaying", "gauge",
     "Streams on their way from their cursor to the present."},
    {OF_HUB, offsetof(struct hub_figures, replayed), "events_replayed_total", "counter",
     "Durable events queued for subscribers by replays."},
    {OF_HUB, offsetof(struct hub_figures, deliveries), "deliveries_total", "counter",
     "Events wholly handed to a subscriber's socket."},
    {OF_HUB, offsetof(struct hub_figures, dropped), "deliveries_dropped_total", "counter",
     "Live events not queued for a subscriber that could not take them; it was told by a reset."},
    {OF_HUB, offsetof(struct hub_figures, bytes), "stream_bytes_total", "counter",
     "Bytes handed to subscribers' sockets."},
};

static void write_summed(const struct metrics_source *s, struct buf *out) {
    for (size_t i = 0; i < sizeof(summed) / sizeof(summed[0]); i++)
        single(out, summed[i].name, summed[i].type, summed[i].help,
               sum(s, summed[i].owner, summed[i].offset));
}

/* ---- histograms ---- */

static void put_buckets(struct buf *out, const char *name, const uint64_t *counts,
                        uint64_t sum_us) {
    uint64_t running = 0;
    for (unsigned k = 0; k < FIGURE_BUCKETS; k++) {
        running += counts[k];
        buf_printf(out, "sse_relay_%s_bucket{le=\"", name);
        if (k < FIGURE_BUCKETS - 1)
            put_seconds(out, UINT64_C(1) << (k + FIGURE_FIRST_SHIFT));
        else
            buf_puts(out, "+Inf");
        buf_printf(out, "\"} %" PRIu64 "\n", running);
    }
    buf_printf(out, "sse_relay_%s_sum ", name);
    put_seconds(out, sum_us);
    buf_printf(out, "\nsse_relay_%s_count %" PRIu64 "\n", name, running);
}

static void add_up(uint64_t *counts, uint64_t *sum_us, const struct figure_histogram *h) {
    for (unsigned k = 0; k < FIGURE_BUCKETS; k++)
        counts[k] += figure_get(&h->buckets[k]);
    *sum_us += figure_get(&h->sum_us);
}

static void write_histograms(const struct metrics_source *s, struct buf *out) {
    uint64_t latency[FIGURE_BUCKETS] = {0}, lag[FIGURE_BUCKETS] = {0};
    uint64_t latency_us = 0, lag_us = 0;
    for (size_t i = 0; i < s->workers_len; i++) {
        add_up(latency, &latency_us, &s->workers[i].hub->latency);
        add_up(lag, &lag_us, s->workers[i].lag);
    }
    head(out, "delivery_duration_seconds", "histogram",
         "From the receipt of an event from Redis to its write to a subscriber's socket.");
    put_buckets(out, "delivery_duration_seconds", latency, latency_us);
    head(out, "loop_lag_seconds", "histogram", "How late a worker's event loop ran its timer.");
    put_buckets(out, "loop_lag_seconds", lag, lag_us);
}

/* ---- by label ---- */

static void write_ends(const struct metrics_source *s, struct buf *out) {
    head(out, "disconnects_total", "counter", "Streams ended, by reason.");
    for (unsigned why = 0; why < HUB_ENDS; why++)
        labelled(out, "disconnects_total", "reason", hub_end_name(why),
                 sum(s, OF_HTTP, offsetof(struct http_figures, ends) + why * sizeof(figure)));
    head(out, "streams_refused_total", "counter", "Streams turned away, by reason.");
    labelled(out, "streams_refused_total", "reason", "full",
             sum(s, OF_HTTP, offsetof(struct http_figures, refused_full)));
    labelled(out, "streams_refused_total", "reason", "draining",
             sum(s, OF_HTTP, offsetof(struct http_figures, refused_draining)));
    head(out, "resets_total", "counter", "relay.reset events sent to subscribers, by reason.");
    for (unsigned bit = 0; bit < RESET_REASONS; bit++)
        labelled(out, "resets_total", "reason", reset_reason_name(bit),
                 sum(s, OF_HUB, offsetof(struct hub_figures, resets) + bit * sizeof(figure)));
}

static void write_queues(const struct metrics_source *s, struct buf *out) {
    head(out, "worker_queue_messages", "gauge", "Messages of the bus that wait for a worker.");
    for (size_t i = 0; i < s->workers_len; i++) {
        char worker[24];
        snprintf(worker, sizeof(worker), "%zu", i);
        labelled(out, "worker_queue_messages", "worker", worker, queue_depth(s->workers[i].inbox));
    }
}

static void write_redis(const struct bus_figures *b, struct buf *out) {
    single(out, "topics", "gauge", "Topics subscribed on Redis.", figure_get(&b->topics));
    single(out, "topics_refused_total", "counter",
           "Answers of Redis that forbid a topic's channel to the relay's user.",
           figure_get(&b->topics_refused));
    head(out, "events_received_total", "counter",
         "Messages received from Redis on topics, by kind.");
    labelled(out, "events_received_total", "kind", "live", figure_get(&b->events_live));
    labelled(out, "events_received_total", "kind", "durable", figure_get(&b->events_durable));
    labelled(out, "events_received_total", "kind", "malformed", figure_get(&b->events_malformed));
    labelled(out, "events_received_total", "kind", "foreign", figure_get(&b->events_foreign));
    single(out, "topic_gaps_total", "counter",
           "Gaps in durable topics that were filled from their logs.", figure_get(&b->gaps));
    single(out, "worker_queue_dropped_total", "counter",
           "Events dropped because a worker's queue was full.", figure_get(&b->events_dropped));
    head(out, "publishes_total", "counter", "Publishes over HTTP answered by Redis, by outcome.");
    labelled(out, "publishes_total", "outcome", "ok", figure_get(&b->published));
    labelled(out, "publishes_total", "outcome", "failed", figure_get(&b->publish_failed));
    head(out, "redis_connected", "gauge", "Whether a connection to Redis is up.");
    labelled(out, "redis_connected", "connection", "subscriber",
             figure_get(&b->subscriber_connected));
    labelled(out, "redis_connected", "connection", "publisher",
             figure_get(&b->publisher_connected));
    labelled(out, "redis_connected", "connection", "reader", figure_get(&b->reader_connected));
    head(out, "redis_connections_lost_total", "counter",
         "Working connections to Redis that were lost.");
    labelled(out, "redis_connections_lost_total", "connection", "subscriber",
             figure_get(&b->subscriber_lost));
    labelled(out, "redis_connections_lost_total", "connection", "publisher",
             figure_get(&b->publisher_lost));
    labelled(out, "redis_connections_lost_total", "connection", "reader",
             figure_get(&b->reader_lost));
    single(out, "redis_connect_failures_total", "counter",
           "Attempts to connect to Redis that failed.", figure_get(&b->connect_failures));
    single(out, "redis_probes_lost_total", "counter",
           "Probes through Redis that did not come back.", figure_get(&b->probe_lost));
    head(out, "redis_probe_duration_seconds", "gauge",
         "Round trip of the last probe through Redis.");
    buf_puts(out, "sse_relay_redis_probe_duration_seconds ");
    put_seconds(out, figure_get(&b->probe_us));
    buf_putc(out, '\n');
}

static uint64_t microseconds(uv_timeval_t t) {
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void write_process(struct buf *out) {
    size_t resident = 0;
    uv_rusage_t usage;
    if (uv_resident_set_memory(&resident) == 0)
        single(out, "resident_memory_bytes", "gauge", "Resident memory of the process.", resident);
    if (uv_getrusage(&usage) != 0)
        return;
    head(out, "cpu_seconds_total", "counter", "CPU time of the process, user and system.");
    buf_puts(out, "sse_relay_cpu_seconds_total ");
    put_seconds(out, microseconds(usage.ru_utime) + microseconds(usage.ru_stime));
    buf_putc(out, '\n');
}

void metrics_write(const struct metrics_source *s, bool ready, struct buf *out) {
    write_summed(s, out);
    single(out, "connections_limit", "gauge", "Connections beyond which streams are turned away.",
           s->max_connections);
    write_ends(s, out);
    write_queues(s, out);
    write_redis(s->bus, out);
    write_histograms(s, out);
    single(out, "ready", "gauge", "Whether /readyz says that this node is ready.", ready ? 1 : 0);
    write_process(out);
    head(out, "build_info", "gauge", "Always 1; the labels say what runs.");
    buf_printf(out, "sse_relay_build_info{version=\"%s\",libuv=\"%s\"} 1\n", s->version,
               uv_version_string());
}
