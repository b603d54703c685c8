/* The options: names, defaults, limits and sentences. Everything else about them is generic. */
#include "relay/config/table.h"

#include "relay/config/check.h"
#include "relay/wire/publish.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define FIELD(member) .offset = offsetof(struct config, member)
#define ACTION(which) .kind = OPTION_ACTION, .action = which
#define BOOL(member) .kind = OPTION_BOOL, FIELD(member), .fallback = "false"
#define NUMBER(k, member, text, least, most, word)                                                 \
    .kind = k, FIELD(member), .fallback = text, .min = least, .max = most, .argument = word
#define COUNT(member, text, min, max) NUMBER(OPTION_INTEGER, member, text, min, max, "N")
#define DURATION(member, text, min, max) NUMBER(OPTION_DURATION, member, text, min, max, "TIME")
#define SIZE(member, text, min, max) NUMBER(OPTION_SIZE, member, text, min, max, "SIZE")
#define ENUM(member, texts, text)                                                                  \
    .kind = OPTION_ENUM, FIELD(member), .fallback = text, .argument = "NAME", .choices = texts

/* In the order of their enums in relay/base/log.h. */
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"auto", "logfmt", "json", NULL};

/* In the order of its enum in table.h. */
static const char *const generated[] = {"markdown", "man", "bash", "zsh", "fish", NULL};

static const char address_form[] = "HOST:PORT, [IPV6]:PORT, :PORT for all addresses, or unix:PATH";

static const struct option table[] = {
    {.group = "Where it listens",
     .name = "listen",
     .kind = OPTION_ADDRESSES,
     FIELD(listen),
     .argument = "ADDRESS",
     .fallback = "127.0.0.1:8080",
     .form = address_form,
     .help = "where clients connect; repeatable"},
    {.name = "admin-listen",
     .kind = OPTION_ADDRESS,
     FIELD(admin_listen),
     .argument = "ADDRESS",
     .form = address_form,
     .help = "a listener of its own for health, readiness and metrics"},
    {.name = "allowed-host",
     .kind = OPTION_STRINGS,
     FIELD(allowed_hosts),
     .argument = "NAME",
     .form = "a host name or address, without scheme and port",
     .check = check_host,
     .help = "a further name that clients of a loopback listener use; repeatable"},

    {.group = "Redis",
     .name = "redis",
     .kind = OPTION_STRING,
     FIELD(redis_url),
     .argument = "URL",
     .fallback = "redis://127.0.0.1:6379",
     .form = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] or unix:PATH",
     .check = check_redis,
     .secret = true,
     .help = "the server and DB of relays and publishers"},
    {.name = "redis-timeout",
     DURATION(redis_timeout_ms, "3s", 100, MINUTE),
     .help = "how long connecting, or an answer, may take"},
    {.name = "prefix",
     .kind = OPTION_STRING,
     FIELD(prefix),
     .argument = "TEXT",
     .fallback = "sse",
     .form = "1 to 64 letters, digits, _ . or -",
     .check = check_prefix,
     .help = "begins every name in Redis; differs where deployments share it"},
    {.name = "embedded-redis",
     BOOL(embedded_redis),
     .help = "start a private redis-server that ends with the relay"},
    {.name = "demo",
     BOOL(demo),
     .help = "publish a clock to topic time and random letters to topic letters"},

    {.group = "Streams",
     .name = "heartbeat",
     DURATION(heartbeat_ms, "15s", 100, HOUR),
     .help = "between two heartbeats of a quiet stream"},
    {.name = "retry",
     DURATION(retry_ms, "3s", 100, HOUR),
     .help = "base of the jittered delay after which clients reconnect"},
    {.name = "max-age",
     DURATION(max_age_ms, "0", 100, 30 * DAY),
     .zero_means = "never",
     .help = "end streams of about this age, to spread them over new nodes"},
    {.name = "linger",
     DURATION(linger_ms, "2s", 0, 10 * MINUTE),
     .help = "a topic stays subscribed for this long after its last client"},

    {.group = "Durable topics",
     .name = "history",
     COUNT(history, "1000", 1, PUBLISH_HISTORY_MAX),
     .help = "events that a topic keeps, where a publish does not say"},
    {.name = "ttl",
     DURATION(ttl_ms, "1h", PUBLISH_TTL_MIN_MS, 365 * DAY),
     .help = "how long it keeps them, where a publish does not say"},
    {.name = "memory",
     DURATION(memory_ms, "7d", MINUTE, 365 * DAY),
     .help = "how long Redis knows what came last; no event is kept for longer"},
    {.name = "replay-limit",
     COUNT(replay_limit, "0", 1, 100000000),
     .zero_means = "no limit",
     .help = "events that one reconnect may replay"},
    {.name = "ring-topic",
     SIZE(ring_topic, "1MiB", 4 * KIB, GIB),
     .help = "bytes of recent events that a node keeps at hand for one topic"},
    {.name = "ring-node",
     SIZE(ring_node, "64MiB", 4 * KIB, 64 * GIB),
     .help = "and for all its topics together"},

    {.group = "Access",
     .name = "cors-origin",
     .kind = OPTION_STRINGS,
     FIELD(cors_origins),
     .argument = "ORIGIN",
     .form = "SCHEME://HOST[:PORT], or * alone for every origin, without credentials",
     .check = check_origin,
     .help = "a foreign page that may read streams and publish; repeatable"},
    {.name = "allow-anonymous-publish",
     BOOL(allow_anonymous_publish),
     .help = "let everyone who reaches the relay publish with POST"},

    {.group = "Limits",
     .name = "workers",
     COUNT(workers, "0", 1, 64),
     .zero_means = "one per core",
     .help = "threads that serve clients"},
    {.name = "max-connections",
     COUNT(max_connections, "0", 1, 10000000),
     .zero_means = "from the open-file limit",
     .help = "connections of all workers together"},
    {.name = "max-topics", COUNT(max_topics, "256", 1, 4096), .help = "topics of one connection"},
    {.name = "outbox-limit",
     SIZE(outbox_limit, "256KiB", KIB, GIB),
     .help = "bytes that wait for one slow client"},
    {.name = "send-buffer",
     SIZE(send_buffer, "128KiB", 4 * KIB, 16 * MIB),
     .zero_means = "the system's own",
     .help = "the kernel's send buffer of a connection"},
    {.name = "write-timeout",
     DURATION(write_timeout_ms, "30s", 100, HOUR),
     .help = "a client that takes no byte for this long is cut"},
    {.name = "header-timeout",
     DURATION(header_timeout_ms, "10s", 100, HOUR),
     .help = "for a complete request head"},
    {.name = "body-timeout",
     DURATION(body_timeout_ms, "30s", 100, HOUR),
     .help = "for a complete request body"},
    {.name = "idle-timeout",
     DURATION(idle_timeout_ms, "60s", 100, HOUR),
     .help = "for the next request on a kept-alive connection"},

    {.group = "Shutdown (SIGTERM, SIGINT)",
     .name = "drain-grace",
     DURATION(drain_grace_ms, "2s", 0, 10 * MINUTE),
     .help = "serve on after readiness failed, until balancers have noticed"},
    {.name = "drain",
     DURATION(drain_ms, "10s", 0, HOUR),
     .help = "then close the streams, spread over this long"},

    {.group = "Logs",
     .name = "log-level",
     ENUM(log_level, log_levels, "info"),
     .help = "the least important lines that are written"},
    {.name = "log-format",
     ENUM(log_format, log_formats, "auto"),
     .help = "auto: logfmt on a terminal, JSON lines elsewhere"},

    {.group = "Configuration",
     .name = "config",
     .kind = OPTION_STRING,
     FIELD(file),
     .argument = "FILE",
     .form = "the path of a JSON file",
     .check = check_not_empty,
     .not_in_file = true,
     .help = "read options from a JSON file"},
    {.name = "check-config",
     ACTION(ACTION_CHECK),
     .help = "say whether the configuration is valid, and exit"},
    {.name = "print-config",
     ACTION(ACTION_PRINT),
     .help = "print the configuration as JSON, without passwords, and exit"},
    {.name = "check-health",
     ACTION(ACTION_HEALTH),
     .help = "ask the relay that runs so whether it is alive, and exit"},
    {.name = "check-ready",
     ACTION(ACTION_READY),
     .help = "the same, whether it can deliver events"},
    {.name = "help", ACTION(ACTION_HELP), .help = "print this and exit"},
    {.name = "generate",
     ACTION(ACTION_GENERATE),
     .argument = "FILE",
     .choices = generated,
     .help = "print the reference, the manual or completions, and exit"},
    {.name = "version", ACTION(ACTION_VERSION), .help = "print the version and exit"},
};

const struct option *option_table(size_t *len) {
    *len = sizeof(table) / sizeof(table[0]);
    return table;
}
