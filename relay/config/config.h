/* What the operator asked for: options from the command line, the environment and a JSON file.
 *
 * Precedence: command line, then environment (SSE_RELAY_HEARTBEAT), then the file that --config or
 * SSE_RELAY_CONFIG names ("heartbeat"), then the default. One table (table.c) drives the
 * reading, the help text, --print-config and relay/config/OPTIONS.md. Pure but for reading that
 * file: nothing is resolved, opened or bound. init/fini; one thread. */
#ifndef RELAY_CONFIG_CONFIG_H
#define RELAY_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/base/log.h"

enum listen_kind {
    LISTEN_NONE, /* nowhere: only --admin-listen can be this */
    LISTEN_TCP,
    LISTEN_UNIX
};

struct listen_address {
    enum listen_kind kind;
    char *text;    /* as it was written, for the log */
    char *host;    /* TCP: without the brackets of IPv6; NULL for all addresses (":8080") */
    unsigned port; /* TCP: 0 lets the system choose */
    char *path;    /* unix: where the socket goes */
    bool tls;      /* TCP: it was written with https:// */
    bool proxied;  /* with proxy+ before the rest: the PROXY protocol */
};

/* Read "host:port", "[::1]:port", ":port", each of them behind "http://" or "https://" where it is
 * so written, or "unix:path"; all of it behind "proxy+" or not. The host is not resolved here.
 * Returns RELAY_OK (end with listen_address_fini()), or RELAY_EINVAL and *@why (static storage). */
int listen_address_parse(const char *text, struct listen_address *out, const char **why);
void listen_address_fini(struct listen_address *address);

/* Where a trusted proxy says whom it has a request from. */
enum config_client_header { CONFIG_X_FORWARDED_FOR, CONFIG_FORWARDED, CONFIG_NO_CLIENT_HEADER };

struct config_addresses {
    struct listen_address *items;
    size_t len;
};

struct config_strings {
    char **items;
    size_t len;
};

struct config {
    /* Where it listens. */
    struct config_addresses listen; /* never empty */
    struct listen_address
        admin_listen; /* LISTEN_NONE: admin paths are on the main listeners; else there alone */
    struct config_strings tls_certs, tls_keys; /* paths, as many of the one as of the other */
    struct config_strings tls_ticket_keys;     /* paths */
    char *tls_client_ca;                       /* a path; NULL: no certificate is asked for */
    bool public_health; /* health is served to clients too, where there is an admin listener */
    struct config_strings allowed_hosts;   /* host names that a loopback listener accepts in Host */
    struct config_strings trusted_proxies; /* each fit for ip_networks_add() */
    enum config_client_header client_header;

    /* Redis. */
    char *redis_url;           /* valid for redis_url_parse(); holds a secret: never log it */
    char *prefix;              /* valid for the names in relay/wire/names.h */
    uint64_t redis_timeout_ms; /* for connecting, and for an answer */
    bool embedded_redis;       /* redis_url is then the default and means nothing */
    bool demo;                 /* run the clock and the letters */

    /* Streams. */
    uint64_t heartbeat_ms;
    uint64_t retry_ms;   /* base of the jittered retry that clients are told */
    uint64_t max_age_ms; /* 0: never */
    uint64_t linger_ms;  /* a topic stays subscribed for this long after its last subscriber */

    /* Durable topics. */
    unsigned history; /* events that a topic keeps, where a publish does not say */
    uint64_t ttl_ms;  /* and for how long; at most memory_ms */
    uint64_t memory_ms;
    unsigned replay_limit;        /* events of one reconnect; 0: none */
    size_t ring_topic, ring_node; /* bytes of recent events per topic, and in all */

    /* Limits. */
    unsigned workers;         /* 0: one per core */
    unsigned max_connections; /* 0: the file descriptor limit minus a reserve */
    unsigned max_connections_per_address, max_connections_per_subject; /* 0: no limit */
    unsigned max_streams_per_subject;                                  /* 0: no limit */
    unsigned accept_rate;                 /* connections a second; 0: no limit */
    unsigned publish_rate, publish_burst; /* a second, of one client; 0: no limit; the rate */
    unsigned max_failed_tokens;           /* a minute, of one address; 0: no limit */
    unsigned max_topics;                  /* per connection */
    unsigned max_streams;                 /* per HTTP/2 connection */
    size_t outbox_limit;                  /* bytes queued per subscriber */
    size_t send_buffer;                   /* SO_SNDBUF in bytes; 0: the system's own */
    uint64_t write_timeout_ms;
    uint64_t header_timeout_ms;
    uint64_t body_timeout_ms;
    uint64_t idle_timeout_ms; /* keep-alive between requests */

    /* Access. */
    struct config_strings cors_origins; /* each "scheme://host[:port]" in lower case, or "*" */
    bool allow_anonymous_publish;
    struct config_strings token_secret_files, token_keys; /* paths */
    char *token_jwks_url; /* https://, or http:// and a loopback address; NULL: none */
    char *token_jwks_ca;  /* a path; NULL: the system's authorities */
    struct config_strings token_audiences, token_issuers;
    char *token_claim;                   /* where topics stand in a token */
    char *token_cookie;                  /* NULL: cookies are not looked at */
    struct config_strings public_topics; /* patterns: relay/auth/pattern.h, without {sub} */
    bool allow_eviction;                 /* of keys by Redis */
    bool no_console;                     /* nothing is served at / */

    /* The end. */
    uint64_t drain_grace_ms; /* streams are still served after readiness has failed */
    uint64_t drain_ms;       /* window over which streams are then closed */

    /* Logs. */
    enum log_level log_level;
    enum log_format log_format;

    char *file; /* the file that was read, or NULL */
};

enum config_action {
    /* With these *out is filled, and the caller ends it with config_fini(). */
    CONFIG_RUN,
    CONFIG_CHECK_FILES,  /* say whether its files can be used */
    CONFIG_CHECK_HEALTH, /* ask the relay that runs with *out for /healthz */
    CONFIG_CHECK_READY,  /* and for /readyz */
    /* With these it is not. */
    CONFIG_EXIT_OK,   /* write @message to standard output, exit 0 */
    CONFIG_EXIT_USAGE /* write @message to standard error, exit 2 */
};

/* Read everything. @argv[0] is the program; @env is the process's environment, or NULL for none.
 * @message gets what is to be said (ends with a line feed) when the action is to exit: the
 * help, the version, the printed configuration, or one sentence that names the option, where its
 * value came from, the value and what is allowed, without a secret; *out is then as it was. */
enum config_action config_load(struct config *out, int argc, char **argv, char **env,
                               struct buf *message);

/* What config_load() read from, to be read once more; each outlives the relay. */
struct config_sources {
    int argc;
    char **argv;
    char **env;
};

/* Read everything again and look what is not as in @running. What may change while the relay runs
 * is given back: *@level. @message gets the names of the other options that differ, with commas
 * between; nothing where there are none. Returns RELAY_OK, or RELAY_EINVAL: the sources cannot be
 * used, *@level is as it was, and @message says why, as config_load() would. */
int config_reload(const struct config *running, const struct config_sources *sources,
                  enum log_level *level, struct buf *message);

/* Free what config_load() filled; @c is zeroed, so twice does no harm. */
void config_fini(struct config *c);

#endif
