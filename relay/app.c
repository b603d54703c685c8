/* Wiring and the relay's life; see app.h.
 *
 * The end, in order: a first SIGTERM or SIGINT (signals.h has all of them) makes readiness fail;
 * after the grace no connection is accepted any more, streams are rejected and those that run are
 * closed, spread over the window; when none is left, or the window is over, the workers stop, then
 * the bus, then the embedded Redis. A second signal goes straight to the stop. */
#include "relay/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "relay/acceptor.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/base/wheel.h"
#include "relay/bus/bus.h"
#include "relay/embedded/embedded.h"
#include "relay/http/limits.h"
#include "relay/http/listener.h"
#include "relay/notify.h"
#include "relay/redis/url.h"
#include "relay/signals.h"
#include "relay/tls_files.h"
#include "relay/token_keys.h"
#include "relay/web_pages.h"
#include "relay/worker.h"

enum {
    FD_BASE = 64,   /* descriptors whatever is configured, and a margin */
    FD_USEFUL = 64, /* fewer connections than that are worth a warning */
    CONNECTIONS_MAX = 100 * 1000 * 1000,
    ADMIN_CONNECTIONS = 16,
    DRAIN_EXTRA_MS = 5000, /* after the window, for the last bytes to leave */
    DRAIN_CHECK_MS = 50,
    NODE_NAME_DIGITS = 12
};

enum phase { PHASE_SERVING, PHASE_GRACE, PHASE_DRAINING, PHASE_STOPPING };

struct app {
    const struct config *config;
    const struct config_sources *sources;
    struct embedded embedded;
    struct redis_url redis_url;
    char node[sizeof("sse-relay-") + NODE_NAME_DIGITS];
    struct worker *workers;
    struct queue **inboxes;
    unsigned workers_len;
    uint64_t started_ms;        /* since 1970 */
    struct listener *listeners; /* one per --listen, then the admin's */
    size_t listeners_len;
    struct acceptor *acceptors; /* one per listener that is not shared */
    size_t acceptors_len;
    struct http_shared shared, admin_shared;
    struct http_limit_metrics limit_metrics;
    struct ip_networks trusted_proxies;
    struct bus_options bus_options;
    struct bus_metrics bus_metrics;
    struct bus_thread *bus;
    struct pages pages;
    struct metrics_worker *metrics_workers;
    struct http_metrics admin_metrics;
    struct server *admin; /* NULL without --admin-listen */
    uv_loop_t loop;
    struct signals signals;
    struct token_keys token_keys;
    struct bars *bars;
    struct tls_files tls_files;
    uv_timer_t timer; /* the phases of the end */
    uv_timer_t admin_tick;
    uv_poll_t embedded_report;
    enum phase phase;
    uint64_t deadline_ms; /* of the present phase */
    int exit_code;
};

/* ---- before the threads ---- */

/* What is open beside clients: Redis, loops, listeners, the embedded Redis, connections beyond the
 * limit that are told so, the admin listener's, and a margin. */
static rlim_t fd_reserve(const struct app *app) {
    const struct config *config = app->config;
    rlim_t per_worker = 6 + (rlim_t)config->listen.len;
    rlim_t admin =
        config->admin_listen.kind != LISTEN_NONE ? ADMIN_CONNECTIONS + HTTP_SURPLUS_MAX : 0;
    return FD_BASE + per_worker * app->workers_len + HTTP_SURPLUS_MAX + admin;
}

/* Ask for as many descriptors as the system lets us have, and derive the connection limit. */
static unsigned connection_limit(const struct app *app) {
    const struct config *config = app->config;
    rlim_t reserve = fd_reserve(app);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = limit.rlim_max = 1024;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = before;
    rlim_t most = limit.rlim_cur - reserve;
    if (limit.rlim_cur < reserve + FD_USEFUL)
        most = limit.rlim_cur / 4; /* too few for the whole reserve */
    if (most < FD_USEFUL)
        log_warn(
            "the limit of file descriptors is too low to serve many clients; raise it (ulimit -n)",
            "limit=%llu needed_without_clients=%llu", (unsigned long long)limit.rlim_cur,
            (unsigned long long)reserve);
    if (most > CONNECTIONS_MAX)
        most = CONNECTIONS_MAX;
    if (config->max_connections == 0 || config->max_connections > most) {
        if (config->max_connections > most)
            log_warn(
                "the limit of file descriptors allows fewer connections than --max-connections",
                "max_connections=%u allowed=%llu", config->max_connections,
                (unsigned long long)most);
        return (unsigned)most;
    }
    return config->max_connections;
}

/* Of the main listeners; the admin's has none. */
static struct limits *limits_of(const struct config *config, struct http_limit_metrics *metrics) {
    struct limits_options options = {
        .connections_per_address = config->max_connections_per_address,
        .connections_per_subject = config->max_connections_per_subject,
        .streams_per_subject = config->max_streams_per_subject,
        .publish_rate = config->publish_rate,
        .publish_burst = config->publish_burst > 0 ? config->publish_burst : config->publish_rate,
        .accept_rate = config->accept_rate,
        .failed_tokens = config->max_failed_tokens,
        .now_us = clock_mono_us};
    return limits_new(&options, metrics);
}

static int fail(const char *what, struct buf *why) {
    fprintf(stderr, "%ssse-relay: %s%s\n", log_priority(LOG_LEVEL_ERROR), what,
            why->data != NULL ? why->data : "");
    buf_fini(why);
    return RELAY_EIO;
}

/* The supervisor outlives the relay by a moment, and must not keep its ports. */
static void close_inherited(void *arg) {
    const struct app *app = arg;
    for (size_t i = 0; i < app->listeners_len; i++)
        for (int n = 0; n < app->listeners[i].fds_len; n++)
            close(app->listeners[i].fds[n]);
}

static int read_files(struct app *app) {
    struct buf why = BUF_INIT;
    if (token_keys_init(&app->token_keys, app->config, &why) != RELAY_OK ||
        tls_files_init(&app->tls_files, app->config, &why) != RELAY_OK)
        return fail("", &why);
    return RELAY_OK;
}

/* Forks, so it comes before every thread. */
static int start_embedded(struct app *app) {
    const struct config *config = app->config;
    struct buf why = BUF_INIT;
    app->embedded = (struct embedded)EMBEDDED_INIT;
    if (config->embedded_redis || config->demo) {
        struct embedded_options options = {.redis = config->embedded_redis,
                                           .demo = config->demo,
                                           .redis_url = config->redis_url,
                                           .prefix = config->prefix,
                                           .forked = close_inherited,
                                           .forked_arg = app};
        if (embedded_start(&app->embedded, &options, &why) != RELAY_OK)
            return fail("", &why);
    }
    const char *url = app->embedded.redis_url != NULL ? app->embedded.redis_url : config->redis_url;
    const char *wrong = NULL;
    if (redis_url_parse(url, &app->redis_url, &wrong) != RELAY_OK) {
        embedded_stop(&app->embedded);
        buf_puts(&why, wrong);
        return fail("the Redis URL is not valid: ", &why);
    }
    return RELAY_OK;
}

static int open_listener(struct app *app, const char *option, const struct listen_address *address,
                         int sockets) {
    const struct config *config = app->config;
    struct listener *l = &app->listeners[app->listeners_len];
    struct buf why = BUF_INIT;
    struct listener_options options = {.host = address->host,
                                       .port = address->port,
                                       .path = address->path,
                                       .tls = address->tls,
                                       .proxied = address->proxied,
                                       .sockets = sockets,
                                       .send_buffer_bytes = (int)config->send_buffer,
                                       .user_timeout_ms = (unsigned)config->write_timeout_ms};
    if (listener_open(l, &options, &why) != RELAY_OK) {
        buf_printf(&why, " with %s HOST:PORT, such as 127.0.0.1:8081, or unix:PATH", option);
        return fail("", &why);
    }
    app->listeners_len++;
    return RELAY_OK;
}

static int open_listeners(struct app *app) {
    const struct config *config = app->config;
    app->listeners = mem_zalloc((config->listen.len + 1) * sizeof(*app->listeners));
    for (size_t i = 0; i < config->listen.len; i++)
        if (open_listener(app, "--listen", &config->listen.items[i], (int)app->workers_len) !=
            RELAY_OK)
            return RELAY_EIO;
    if (config->admin_listen.kind != LISTEN_NONE)
        return open_listener(app, "--admin-listen", &config->admin_listen, 1);
    return RELAY_OK;
}

static void close_listeners(struct app *app) {
    while (app->listeners_len > 0)
        listener_fini(&app->listeners[--app->listeners_len]);
    free(app->listeners);
}

/* ---- the threads ---- */

static void send_to_bus(void *ctx, struct bus_request *request) {
    struct app *app = ctx;
    queue_push_control(bus_requests(app->bus), &request->node);
}

static enum forwarded_header client_header(const struct config *config) {
    switch (config->client_header) {
    case CONFIG_X_FORWARDED_FOR:
        return FORWARDED_X_FORWARDED_FOR;
    case CONFIG_FORWARDED:
        return FORWARDED_FORWARDED;
    case CONFIG_NO_CLIENT_HEADER:
        break;
    }
    return FORWARDED_NONE;
}

static struct http_options http_options(struct app *app, unsigned worker) {
    const struct config *config = app->config;
    return (struct http_options){.shared = &app->shared,
                                 .origins = {.cors_origins = config->cors_origins.items,
                                             .cors_origins_len = config->cors_origins.len,
                                             .allowed_hosts = config->allowed_hosts.items,
                                             .allowed_hosts_len = config->allowed_hosts.len},
                                 .trusted_proxies = &app->trusted_proxies,
                                 .client_header = client_header(config),
                                 .routes = app->pages.main,
                                 .max_topics = config->max_topics,
                                 .max_streams = config->max_streams,
                                 .allow_publish = config->allow_anonymous_publish,
                                 .bars = app->bars,
                                 .auth = app->token_keys.auth,
                                 .token_cookie = config->token_cookie,
                                 .header_timeout_ms = config->header_timeout_ms,
                                 .body_timeout_ms = config->body_timeout_ms,
                                 .idle_timeout_ms = config->idle_timeout_ms,
                                 .write_timeout_ms = config->write_timeout_ms,
                                 .worker = worker,
                                 .send = send_to_bus,
                                 .send_ctx = app};
}

static void make_workers(struct app *app) {
    const struct config *config = app->config;
    struct hub_options hub = {.outbox_limit_bytes = config->outbox_limit,
                              .heartbeat_ms = config->heartbeat_ms,
                              .max_age_ms = config->max_age_ms,
                              .retry_ms = config->retry_ms,
                              .now_us = clock_mono_us,
                              .send = send_to_bus,
                              .send_ctx = app};
    app->workers = mem_zalloc(app->workers_len * sizeof(*app->workers));
    app->inboxes = mem_zalloc(app->workers_len * sizeof(*app->inboxes));
    app->metrics_workers = mem_zalloc(app->workers_len * sizeof(*app->metrics_workers));
    for (unsigned i = 0; i < app->workers_len; i++) {
        struct worker *w = &app->workers[i];
        struct http_options http = http_options(app, i);
        hub.worker = i;
        worker_init(w, &hub, &http);
        app->inboxes[i] = &w->inbox;
        app->metrics_workers[i] =
            (struct metrics_worker){&w->metrics.hub, &w->metrics.http, &w->metrics.lag, &w->inbox};
    }
}

static void start_bus(struct app *app) {
    const struct config *config = app->config;
    app->bus_options = (struct bus_options){.url = &app->redis_url,
                                            .prefix = config->prefix,
                                            .node = app->node,
                                            .redis_timeout_ms = config->redis_timeout_ms,
                                            .linger_ms = config->linger_ms,
                                            .history = config->history,
                                            .ttl_ms = config->ttl_ms,
                                            .memory_ms = config->memory_ms,
                                            .replay_limit = config->replay_limit,
                                            .ring_topic_bytes = config->ring_topic,
                                            .ring_node_bytes = config->ring_node,
                                            .inboxes = app->inboxes,
                                            .workers = app->workers_len,
                                            .allow_eviction = config->allow_eviction,
                                            .bars = app->bars};
    app->bus = bus_start(&app->bus_options, &app->bus_metrics);
}

/* The server or acceptor that was given a listener's sockets closes them. */
static void give_away(struct listener *l) {
    for (int i = 0; i < l->fds_len; i++)
        l->fds[i] = -1;
}

/* Publishing without a name is for this machine, or behind something that asks for one. */
static void warn_of_open_publishing(const struct app *app) {
    if (!app->config->allow_anonymous_publish)
        return;
    for (size_t i = 0; i < app->config->listen.len; i++)
        if (app->listeners[i].path == NULL && !app->listeners[i].loopback)
            log_warn(
                "everybody who reaches this address may publish to every topic: let a proxy in "
                "front refuse POST, or leave out --allow-anonymous-publish",
                "listen=%s", app->config->listen.items[i].text);
}

static struct http_door door_of(const struct app *app, size_t listener) {
    bool tls = app->config->listen.items[listener].tls;
    return (struct http_door){.loopback = app->listeners[listener].loopback,
                              .proxied = app->config->listen.items[listener].proxied,
                              .tls = tls ? app->tls_files.clients : NULL};
}

/* Give the main listeners to the workers, one socket each, or to an acceptor. */
static void start_serving(struct app *app) {
    size_t main_listeners = app->config->listen.len;
    app->acceptors = mem_zalloc(main_listeners * sizeof(*app->acceptors));
    for (size_t i = 0; i < main_listeners; i++) {
        struct listener *l = &app->listeners[i];
        struct http_door door = door_of(app, i);
        if ((unsigned)l->fds_len == app->workers_len && l->path == NULL)
            for (unsigned w = 0; w < app->workers_len; w++)
                worker_listen(&app->workers[w], l->fds[w], door);
        else
            acceptor_start(&app->acceptors[app->acceptors_len++], &app->loop, l->fds[0], door,
                           app->workers, app->workers_len, &app->shared);
        give_away(l);
    }
    for (unsigned w = 0; w < app->workers_len; w++)
        worker_start(&app->workers[w]);
    for (size_t i = 0; i < main_listeners; i++)
        printf("listening on %s\n", app->listeners[i].url);
    fflush(stdout);
}

/* For a person who tries the relay out, below everything else: how sse-publish finds the private
 * Redis, and the page that shows the demo. */
static void invite(const struct app *app) {
    if (!app->config->demo)
        return;
    printf("\n");
    if (app->embedded.redis_url != NULL)
        printf("publish from another shell: export REDIS_URL=%s\n", app->embedded.redis_url);
    for (size_t i = 0; i < app->config->listen.len && !app->config->no_console; i++) {
        if (app->listeners[i].path != NULL || app->config->listen.items[i].proxied)
            continue;
        printf("console: %s?topics=time,letters\n", app->listeners[i].url);
        break;
    }
    fflush(stdout);
}

/* ---- the admin listener ---- */

static void on_admin_tick(uv_timer_t *timer) {
    struct app *app = timer->data;
    server_tick(app->admin, clock_mono_ms());
}

static void start_admin(struct app *app) {
    if (app->config->admin_listen.kind == LISTEN_NONE)
        return;
    struct http_options options = http_options(app, 0);
    struct listener *l = &app->listeners[app->listeners_len - 1];
    app->admin_shared.max_connections = ADMIN_CONNECTIONS;
    options.shared = &app->admin_shared;
    options.routes = app->pages.admin;
    options.send = NULL;
    app->admin = server_new(&app->loop, &options, NULL, &app->admin_metrics);
    struct http_door door = {.loopback = l->loopback, .tls = app->tls_files.admin};
    server_listen(app->admin, l->fds[0], door);
    give_away(l);
    uv_timer_start(&app->admin_tick, on_admin_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
    printf("admin on %s\n", l->url);
    fflush(stdout);
}

/* ---- the end ---- */

static void close_handle(uv_handle_t *handle) {
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_admin_closed(void *arg) {
    (void)arg;
}

static void stop_accepting(struct app *app) {
    for (size_t i = 0; i < app->acceptors_len; i++)
        acceptor_stop(&app->acceptors[i]);
}

/* The workers end, and everything on the main loop with them; app_run() goes on behind uv_run(). */
static void stop(struct app *app) {
    if (app->phase == PHASE_STOPPING)
        return;
    app->phase = PHASE_STOPPING;
    stop_accepting(app);
    for (unsigned i = 0; i < app->workers_len; i++)
        worker_stop(&app->workers[i]);
    if (app->admin != NULL)
        server_close(app->admin, on_admin_closed, app);
    signals_close(&app->signals);
    token_keys_close(&app->token_keys);
    tls_files_close(&app->tls_files);
    close_handle((uv_handle_t *)&app->timer);
    close_handle((uv_handle_t *)&app->admin_tick);
    if (app->embedded.report_fd >= 0)
        close_handle((uv_handle_t *)&app->embedded_report);
}

static void start_draining(struct app *app) {
    unsigned open = atomic_load(&app->shared.connections);
    log_info("draining", "connections=%u window_ms=%llu", open,
             (unsigned long long)app->config->drain_ms);
    app->phase = PHASE_DRAINING;
    app->deadline_ms = clock_mono_ms() + app->config->drain_ms + DRAIN_EXTRA_MS;
    atomic_store(&app->shared.draining, true);
    stop_accepting(app);
    for (unsigned i = 0; i < app->workers_len; i++) {
        worker_stop_accepting(&app->workers[i]);
        worker_drain(&app->workers[i], app->config->drain_ms);
    }
}

/* A connection counts once its worker has it, so no count is the last before every worker has begun
 * its drain. */
static bool workers_are_idle(const struct app *app) {
    for (unsigned i = 0; i < app->workers_len; i++)
        if (!worker_is_draining(&app->workers[i]))
            return false;
    return atomic_load(&app->shared.connections) == 0;
}

static void on_timer(uv_timer_t *timer) {
    struct app *app = timer->data;
    bool over = clock_mono_ms() >= app->deadline_ms;
    if (app->phase == PHASE_GRACE && over)
        start_draining(app);
    else if (app->phase == PHASE_DRAINING && (over || workers_are_idle(app)))
        stop(app);
}

static void end(struct app *app, int number, bool now) {
    if (app->phase != PHASE_SERVING && !now)
        return;
    if (app->phase != PHASE_SERVING) {
        log_warn("told again to end: closing everything at once", "signal=%d", number);
        app->exit_code = APP_EXIT_FAILED;
        stop(app);
        return;
    }
    log_info("told to end: no longer ready", "signal=%d grace_ms=%llu", number,
             (unsigned long long)app->config->drain_grace_ms);
    notify_stopping(app->config->drain_grace_ms + app->config->drain_ms + 2 * DRAIN_EXTRA_MS);
    atomic_store(&app->pages.leaving, true);
    app->phase = PHASE_GRACE;
    app->deadline_ms = clock_mono_ms() + app->config->drain_grace_ms;
    uv_timer_start(&app->timer, on_timer, 0, DRAIN_CHECK_MS);
}

static void reload(struct app *app) {
    struct buf said = BUF_INIT;
    enum log_level level = log_level();
    notify_reloading();
    if (config_reload(app->config, app->sources, &level, &said) != RELAY_OK) {
        log_error("the configuration was not reloaded", "why=%s", said.data);
    } else {
        if (level < log_level())
            log_set_level(level); /* so that the lines below are seen under either */
        log_info("reloaded", "log_level=%s file=%s", log_level_name(level),
                 app->config->file != NULL ? app->config->file : "none");
        if (said.len > 0)
            log_warn("changed in the configuration, but needs a restart", "options=%s", said.data);
        log_set_level(level);
    }
    buf_fini(&said);
    token_keys_reload(&app->token_keys);
    tls_files_reload(&app->tls_files);
    notify_ready();
}

static void on_signal(void *ctx, enum signal_request request, int number) {
    struct app *app = ctx;
    switch (request) {
    case SIGNAL_END:
    case SIGNAL_END_NOW:
        end(app, number, request == SIGNAL_END_NOW);
        break;
    case SIGNAL_RELOAD:
        if (app->phase == PHASE_SERVING)
            reload(app);
        else
            log_info("a relay that ends reloads nothing", "signal=%d", number);
        break;
    case SIGNAL_NOTHING:
        log_info("this signal does nothing: SIGHUP reloads, SIGTERM ends", "signal=%d", number);
        break;
    }
}

/* The private redis-server is gone, and with it everything that this node could deliver. */
static void on_embedded_report(uv_poll_t *poll, int status, int events) {
    struct app *app = poll->data;
    struct buf why = BUF_INIT;
    (void)status;
    (void)events;
    embedded_report(&app->embedded, &why);
    log_error("the embedded Redis ended", "why=%s", why.data);
    buf_fini(&why);
    app->exit_code = APP_EXIT_FAILED;
    stop(app);
}

/* ---- life ---- */

static void start_loop(struct app *app) {
    if (uv_loop_init(&app->loop) != 0) {
        log_error("cannot make the main event loop; are file descriptors short?", NULL);
        abort();
    }
    uv_timer_init(&app->loop, &app->timer);
    uv_timer_init(&app->loop, &app->admin_tick);
    app->timer.data = app->admin_tick.data = app->embedded_report.data = app;
    signals_start(&app->signals, &app->loop, on_signal, app);
    if (app->embedded.report_fd >= 0) {
        uv_poll_init(&app->loop, &app->embedded_report, app->embedded.report_fd);
        uv_poll_start(&app->embedded_report, UV_READABLE, on_embedded_report);
    }
}

static void name_node(struct app *app) {
    struct rng rng;
    rng_init(&rng);
    strcpy(app->node, "sse-relay-");
    rng_hex(&rng, app->node + strlen(app->node), NODE_NAME_DIGITS);
}

static void read_trusted_proxies(struct app *app) {
    const struct config_strings *texts = &app->config->trusted_proxies;
    for (size_t i = 0; i < texts->len; i++)
        ip_networks_add(&app->trusted_proxies, texts->items[i]);
}

static void serve(struct app *app) {
    read_trusted_proxies(app);
    make_workers(app);
    app->pages.metrics = (struct metrics_source){.workers = app->metrics_workers,
                                                 .workers_len = app->workers_len,
                                                 .bus = &app->bus_metrics,
                                                 .limits = &app->limit_metrics,
                                                 .jwks = &app->token_keys.source.metrics,
                                                 .max_connections = app->shared.max_connections,
                                                 .started_ms = app->started_ms,
                                                 .version = SSE_VERSION};
    app->pages.bus_options = &app->bus_options;
    app->pages.bus_metrics = &app->bus_metrics;
    app->pages.token_keys = &app->token_keys;
    app->pages.tls_files = &app->tls_files;
    sigset_t signals;
    start_loop(app);
    token_keys_start(&app->token_keys, &app->loop);
    tls_files_start(&app->tls_files, &app->loop);
    warn_of_open_publishing(app);
    signals_hold(&signals); /* they are this thread's */
    start_bus(app);
    start_serving(app);
    signals_let(&signals);
    start_admin(app);
    invite(app);
    notify_ready();
    uv_run(&app->loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < app->workers_len; i++)
        worker_join(&app->workers[i]);
    bus_stop(app->bus);
    for (unsigned i = 0; i < app->workers_len; i++)
        worker_fini(&app->workers[i]);
    if (app->admin != NULL)
        server_free(app->admin);
    if (uv_loop_close(&app->loop) != 0)
        log_error("the main loop still has handles", NULL);
    free(app->workers);
    free(app->inboxes);
    free(app->metrics_workers);
    free(app->acceptors);
}

int app_run(const struct config *config, const struct config_sources *sources) {
    struct app *app = mem_zalloc(sizeof(*app));
    app->config = config;
    app->started_ms = clock_wall_ms();
    app->sources = sources;
    app->workers_len = config->workers > 0 ? config->workers : uv_available_parallelism();
    app->bars = bars_new();
    app->exit_code = APP_EXIT_FAILED;
    signals_ignore();
    notify_init();
    name_node(app);
    app->shared.max_connections = connection_limit(app);
    app->shared.limits = limits_of(config, &app->limit_metrics);
    bool admin_apart = config->admin_listen.kind != LISTEN_NONE;
    pages_init(&app->pages, !admin_apart, !admin_apart || config->public_health,
               !config->no_console);
    /* The listeners first: a port that is taken is told at once, with nothing to clean up. */
    if (open_listeners(app) == RELAY_OK && read_files(app) == RELAY_OK &&
        start_embedded(app) == RELAY_OK) {
        app->exit_code = APP_EXIT_OK;
        serve(app);
        embedded_stop(&app->embedded);
        redis_url_fini(&app->redis_url);
    }
    ip_networks_fini(&app->trusted_proxies);
    bars_free(app->bars);
    token_keys_fini(&app->token_keys);
    tls_files_fini(&app->tls_files);
    close_listeners(app);
    limits_free(app->shared.limits);
    int exit_code = app->exit_code;
    free(app);
    return exit_code;
}
