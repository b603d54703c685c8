/* Figures to text; see metrics.h. Counters end in _total, and units stand in the names. */
#include "relay/admin/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <uv.h>

#include "relay/base/clock.h"

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

/* The sum of the metric at @offset of each worker's hub or http metrics. */
enum owner { OF_HUB, OF_HTTP };

static uint64_t sum(const struct metrics_source *s, enum owner owner, size_t offset) {
    uint64_t total = 0;
    for (size_t i = 0; i < s->workers_len; i++) {
        const void *base =
            owner == OF_HUB ? (const void *)s->workers[i].hub : (const void *)s->workers[i].http;
        total += metric_get((const metric *)(const void *)((const char *)base + offset));
    }
    return total;
}

struct summed {
    enum owner owner;
    size_t offset;
    const char *name, *type, *help;
};

static const struct summed summed[] = {
    {OF_HTTP, offsetof(struct http_metrics, connections), "connections", "gauge",
     "Client connections open now."},
    {OF_HTTP, offsetof(struct http_metrics, accepted), "connections_accepted_total", "counter",
     "Client connections accepted."},
    {OF_HTTP, offsetof(struct http_metrics, accept_paused), "accept_pauses_total", "counter",
     "Times that accepting paused: descriptors ran short, or connections were far beyond the "
     "limit."},
    {OF_HTTP, offsetof(struct http_metrics, tls_connections), "tls_connections", "gauge",
     "Client connections through TLS open now."},
    {OF_HTTP, offsetof(struct http_metrics, requests), "http_requests_total", "counter",
     "HTTP requests read."},
    {OF_HTTP, offsetof(struct http_metrics, h2_connections), "http2_connections", "gauge",
     "Of the client connections, those that speak HTTP/2."},
    {OF_HTTP, offsetof(struct http_metrics, h2_streams), "http2_streams", "gauge",
     "HTTP/2 streams open now, for whatever request."},
    {OF_HUB, offsetof(struct hub_metrics, subscribers), "subscribers", "gauge",
     "Streams open now."},
    {OF_HUB, offsetof(struct hub_metrics, lagging), "subscribers_lagging", "gauge",
     "Streams that get no durable events until they have drained; then they are replayed."},
    {OF_HUB, offsetof(struct hub_metrics, replaying), "subscribers_replaying", "gauge",
     "Streams on their way from their cursor to the present."},
    {OF_HUB, offsetof(struct hub_metrics, blocked), "subscribers_blocked", "gauge",
     "Streams that wait for relay.live because Redis does not allow one of their topics."},
    {OF_HUB, offsetof(struct hub_metrics, replayed), "events_replayed_total", "counter",
     "Durable events queued for subscribers by replays."},
    {OF_HUB, offsetof(struct hub_metrics, deliveries), "deliveries_total", "counter",
     "Events wholly handed to a subscriber's socket."},
    {OF_HUB, offsetof(struct hub_metrics, dropped), "deliveries_dropped_total", "counter",
     "Live events not queued for a subscriber that could not take them; it was told by a reset."},
    {OF_HUB, offsetof(struct hub_metrics, bytes), "stream_bytes_total", "counter",
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
    for (unsigned k = 0; k < METRIC_BUCKETS; k++) {
        running += counts[k];
        buf_printf(out, "sse_relay_%s_bucket{le=\"", name);
        if (k < METRIC_BUCKETS - 1)
            put_seconds(out, UINT64_C(1) << (k + METRIC_FIRST_SHIFT));
        else
            buf_puts(out, "+Inf");
        buf_printf(out, "\"} %" PRIu64 "\n", running);
    }
    buf_printf(out, "sse_relay_%s_sum ", name);
    put_seconds(out, sum_us);
    buf_printf(out, "\nsse_relay_%s_count %" PRIu64 "\n", name, running);
}

static void add_up(uint64_t *counts, uint64_t *sum_us, const struct metric_histogram *h) {
    for (unsigned k = 0; k < METRIC_BUCKETS; k++)
        counts[k] += metric_get(&h->buckets[k]);
    *sum_us += metric_get(&h->sum_us);
}

static void write_histograms(const struct metrics_source *s, struct buf *out) {
    uint64_t latency[METRIC_BUCKETS] = {0}, lag[METRIC_BUCKETS] = {0};
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
                 sum(s, OF_HTTP, offsetof(struct http_metrics, ends) + why * sizeof(metric)));
    head(out, "streams_refused_total", "counter", "Streams rejected, by reason.");
    labelled(out, "streams_refused_total", "reason", "full",
             sum(s, OF_HTTP, offsetof(struct http_metrics, refused_full)));
    labelled(out, "streams_refused_total", "reason", "limit",
             sum(s, OF_HTTP, offsetof(struct http_metrics, refused_limit)));
    labelled(out, "streams_refused_total", "reason", "draining",
             sum(s, OF_HTTP, offsetof(struct http_metrics, refused_draining)));
    static const char *const denials[HTTP_DENIALS] = {"no_token", "invalid_token", "key_awaited",
                                                      "topic",    "origin",        "barred"};
    head(out, "requests_denied_total", "counter",
         "Requests denied for what they may read or publish, by reason.");
    for (unsigned why = 0; why < HTTP_DENIALS; why++)
        labelled(out, "requests_denied_total", "reason", denials[why],
                 sum(s, OF_HTTP, offsetof(struct http_metrics, denied) + why * sizeof(metric)));
    head(out, "resets_total", "counter", "relay.reset events sent to subscribers, by reason.");
    for (unsigned bit = 0; bit < RESET_REASONS; bit++)
        labelled(out, "resets_total", "reason", reset_reason_name(bit),
                 sum(s, OF_HUB, offsetof(struct hub_metrics, resets) + bit * sizeof(metric)));
}

static void write_limits(const struct http_limit_metrics *m, struct buf *out) {
    head(out, "limits_reached_total", "counter",
         "Connections, streams and requests that were beyond a limit, by limit.");
    for (unsigned limit = 0; limit < HTTP_LIMITS; limit++)
        labelled(out, "limits_reached_total", "limit", http_limit_name(limit),
                 metric_get(&m->reached[limit]));
}

static void write_jwks(const struct jwks_metrics *j, struct buf *out) {
    head(out, "token_jwks_fetches_total", "counter",
         "Times that the JWKS of --token-jwks-url was asked for, by outcome.");
    labelled(out, "token_jwks_fetches_total", "outcome", "ok", metric_get(&j->fetched));
    labelled(out, "token_jwks_fetches_total", "outcome", "failed", metric_get(&j->failed));
    single(out, "token_jwks_fetched_timestamp_seconds", "gauge",
           "When it last gave keys, in seconds since 1970; 0: it has not, or there is none.",
           metric_get(&j->fetched_s));
}

static void write_tls(const struct metrics_source *s, struct buf *out) {
    head(out, "tls_handshakes_total", "counter",
         "TLS handshakes done: whole ones, and those that resumed a session.");
    labelled(out, "tls_handshakes_total", "resumed", "no",
             sum(s, OF_HTTP, offsetof(struct http_metrics, tls_handshakes)));
    labelled(out, "tls_handshakes_total", "resumed", "yes",
             sum(s, OF_HTTP, offsetof(struct http_metrics, tls_handshakes) + sizeof(metric)));
    head(out, "tls_handshake_failures_total", "counter",
         "TLS handshakes that came to nothing, by reason.");
    for (unsigned why = 0; why < HTTP_TLS_FAILURES; why++)
        labelled(
            out, "tls_handshake_failures_total", "reason", http_tls_failure_name(why),
            sum(s, OF_HTTP, offsetof(struct http_metrics, tls_failures) + why * sizeof(metric)));
}

static void write_proxy_refusals(const struct metrics_source *s, struct buf *out) {
    head(out, "proxy_protocol_refused_total", "counter",
         "Connections closed for what came in place of the PROXY protocol's header, by reason.");
    for (unsigned why = 0; why < HTTP_PROXY_REFUSALS; why++)
        labelled(
            out, "proxy_protocol_refused_total", "reason", http_proxy_refusal_name(why),
            sum(s, OF_HTTP, offsetof(struct http_metrics, proxy_refused) + why * sizeof(metric)));
}

static void write_certificates(const struct metrics_source *s, struct buf *out) {
    head(out, "tls_certificate_expiry_timestamp_seconds", "gauge",
         "When a certificate that clients are shown ends, in seconds since 1970.");
    for (size_t i = 0; i < s->certificates_len; i++)
        buf_printf(out,
                   "sse_relay_tls_certificate_expiry_timestamp_seconds{certificate=\"%zu\","
                   "name=\"%s\"} %" PRId64 "\n",
                   i + 1, s->certificates[i].name, s->certificates[i].not_after_s);
}

static void write_floods(const struct metrics_source *s, struct buf *out) {
    static const char *const names[HTTP_FLOODS] = {
        [HTTP_FLOOD_RESET] = "reset", [HTTP_FLOOD_CONTINUATION] = "continuation",
        [HTTP_FLOOD_PING] = "ping",   [HTTP_FLOOD_SETTINGS] = "settings",
        [HTTP_FLOOD_EMPTY] = "empty", [HTTP_FLOOD_OTHER] = "other"};
    head(out, "http2_floods_total", "counter",
         "HTTP/2 connections ended because their client sent too many frames of a kind.");
    for (unsigned kind = 0; kind < HTTP_FLOODS; kind++)
        labelled(out, "http2_floods_total", "frames", names[kind],
                 sum(s, OF_HTTP, offsetof(struct http_metrics, floods) + kind * sizeof(metric)));
}

/* What waits for a worker: in its queue, and in its hub, which takes the whole queue at once. */
static uint64_t waiting(const struct metrics_worker *w, uint64_t *since_us) {
    uint64_t queued_since_us;
    uint64_t queued = queue_depth(w->inbox, &queued_since_us);
    *since_us = metric_get(&w->hub->waiting_since_us); /* older than all that is queued */
    if (*since_us == 0)
        *since_us = queued_since_us;
    return queued + metric_get(&w->hub->waiting);
}

static void write_queues(const struct metrics_source *s, struct buf *out) {
    uint64_t now_us = clock_mono_us();
    struct buf ages = BUF_INIT;
    head(out, "worker_queue_messages", "gauge",
         "Messages that a worker has not handed to its subscribers yet.");
    head(&ages, "worker_queue_oldest_seconds", "gauge",
         "How long the oldest of these messages has waited; 0 if none waits.");
    for (size_t i = 0; i < s->workers_len; i++) {
        uint64_t since_us;
        char worker[24];
        snprintf(worker, sizeof(worker), "%zu", i);
        labelled(out, "worker_queue_messages", "worker", worker,
                 waiting(&s->workers[i], &since_us));
        buf_printf(&ages, "sse_relay_worker_queue_oldest_seconds{worker=\"%s\"} ", worker);
        put_seconds(&ages, since_us != 0 && now_us > since_us ? now_us - since_us : 0);
        buf_putc(&ages, '\n');
    }
    buf_append(out, ages.data, ages.len);
    buf_fini(&ages);
}

/* Why the node is not ready although Redis answers. */
static void write_unfit(const struct bus_metrics *b, struct buf *out) {
    static const struct {
        enum bus_unfit unfit;
        const char *name;
    } reasons[] = {{BUS_UNFIT_REPLICA, "replica"},
                   {BUS_UNFIT_OLD, "old"},
                   {BUS_UNFIT_EVICTS, "evicts"},
                   {BUS_UNFIT_SENTINEL, "sentinel"}};
    head(out, "redis_unfit", "gauge", "Whether Redis cannot be used, by what is the matter.");
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        labelled(out, "redis_unfit", "reason", reasons[i].name,
                 metric_get(&b->server_unfit) == reasons[i].unfit);
    labelled(out, "redis_unfit", "reason", "channel", metric_get(&b->channel_unfit) != BUS_FIT);
    labelled(out, "redis_unfit", "reason", "clock", metric_get(&b->clock_unfit) != BUS_FIT);
}

static void write_redis(const struct bus_metrics *b, struct buf *out) {
    single(out, "topics", "gauge", "Topics subscribed on Redis.", metric_get(&b->topics));
    single(out, "topics_refused", "gauge",
           "Topics whose channel Redis forbids to the relay's user now.",
           metric_get(&b->topics_refused));
    single(out, "topics_unreadable", "gauge", "Topics whose keys Redis refuses to read now.",
           metric_get(&b->topics_unreadable));
    head(out, "events_received_total", "counter",
         "Messages received from Redis on topics, by kind.");
    labelled(out, "events_received_total", "kind", "live", metric_get(&b->events_live));
    labelled(out, "events_received_total", "kind", "durable", metric_get(&b->events_durable));
    labelled(out, "events_received_total", "kind", "malformed", metric_get(&b->events_malformed));
    labelled(out, "events_received_total", "kind", "foreign", metric_get(&b->events_foreign));
    single(out, "bars", "gauge", "Subjects, tokens and topics that were kicked and are barred now.",
           metric_get(&b->bars));
    single(out, "topic_gaps_total", "counter",
           "Gaps in durable topics that were filled from their logs.", metric_get(&b->gaps));
    single(out, "worker_queue_dropped_total", "counter",
           "Events dropped because a worker's queue was full.", metric_get(&b->events_dropped));
    head(out, "publishes_total", "counter", "Publishes over HTTP answered by Redis, by outcome.");
    labelled(out, "publishes_total", "outcome", "ok", metric_get(&b->published));
    labelled(out, "publishes_total", "outcome", "failed", metric_get(&b->publish_failed));
    head(out, "redis_connected", "gauge", "Whether a connection to Redis is up.");
    labelled(out, "redis_connected", "connection", "subscriber",
             metric_get(&b->subscriber_connected));
    labelled(out, "redis_connected", "connection", "publisher",
             metric_get(&b->publisher_connected));
    labelled(out, "redis_connected", "connection", "reader", metric_get(&b->reader_connected));
    head(out, "redis_connections_lost_total", "counter",
         "Working connections to Redis that were lost.");
    labelled(out, "redis_connections_lost_total", "connection", "subscriber",
             metric_get(&b->subscriber_lost));
    labelled(out, "redis_connections_lost_total", "connection", "publisher",
             metric_get(&b->publisher_lost));
    labelled(out, "redis_connections_lost_total", "connection", "reader",
             metric_get(&b->reader_lost));
    single(out, "redis_connect_failures_total", "counter",
           "Attempts to connect to Redis that failed.", metric_get(&b->connect_failures));
    write_unfit(b, out);
    single(out, "redis_demotions_total", "counter",
           "Times that the Redis server turned out to be a replica.", metric_get(&b->demotions));
    single(out, "redis_evictions_noted_total", "counter",
           "Times that keys in Redis were found to be gone before their time.",
           metric_get(&b->evictions_noted));
    single(out, "redis_probes_lost_total", "counter",
           "Probes through Redis that did not come back.", metric_get(&b->probe_lost));
    head(out, "redis_probe_duration_seconds", "gauge",
         "Round trip of the last probe through Redis.");
    buf_puts(out, "sse_relay_redis_probe_duration_seconds ");
    put_seconds(out, metric_get(&b->probe_us));
    buf_putc(out, '\n');
}

static uint64_t microseconds(uv_timeval_t t) {
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void write_process(uint64_t started_ms, struct buf *out) {
    size_t resident = 0;
    uv_rusage_t usage;
    head(out, "start_time_seconds", "gauge", "When the process started, in seconds since 1970.");
    buf_printf(out, "sse_relay_start_time_seconds %" PRIu64 ".%03u\n", started_ms / 1000,
               (unsigned)(started_ms % 1000));
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
    single(out, "connections_limit", "gauge", "Connections beyond which streams are rejected.",
           s->max_connections);
    write_ends(s, out);
    write_limits(s->limits, out);
    write_jwks(s->jwks, out);
    write_tls(s, out);
    write_certificates(s, out);
    write_floods(s, out);
    write_proxy_refusals(s, out);
    write_queues(s, out);
    write_redis(s->bus, out);
    write_histograms(s, out);
    single(out, "ready", "gauge", "Whether /readyz says that this node is ready.", ready ? 1 : 0);
    write_process(s->started_ms, out);
    head(out, "build_info", "gauge", "Always 1; the labels say what runs.");
    buf_printf(out, "sse_relay_build_info{version=\"%s\",libuv=\"%s\"} 1\n", s->version,
               uv_version_string());
}
