/* Reading the options from their three sources; see config.h.
 *
 * The highest source is read first, and whoever sets an option first wins. A value that lost is
 * still read, into a scratch configuration, so that no mistake hides behind another source. */
#include "relay/config/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/config/option_table.h"

enum { OPTIONS_MAX = 96 };

struct loader {
    struct config config;
    struct config scratch; /* what a higher source has overridden */
    enum option_source from[OPTIONS_MAX];
    enum option_action action; /* asked for on the command line */
    enum generated generated;  /* of ACTION_GENERATE */
    struct buf *message;
};

static enum option_source *source_of(struct loader *l, const struct option *o) {
    size_t len;
    return &l->from[o - option_table(&len)];
}

/* Begin a sentence about @o: its name, its value, and where that came from. */
static void put_subject(struct loader *l, const struct option *o, enum option_source source,
                        const char *text) {
    option_put_name(o, FROM_COMMAND_LINE, l->message);
    if (text != NULL) {
        buf_puts(l->message, " \"");
        option_put_redacted(text, o->secret, l->message);
        buf_putc(l->message, '"');
    }
    if (source == FROM_COMMAND_LINE)
        buf_puts(l->message, " (command line)");
    else if (source == FROM_FILE)
        buf_printf(l->message, " (file %s)", l->config.file);
    else if (source == FROM_ENVIRONMENT) {
        buf_puts(l->message, " (environment variable ");
        option_put_name(o, FROM_ENVIRONMENT, l->message);
        buf_putc(l->message, ')');
    }
}

/* Write the sentence about a value that does not do. Returns false, for the caller to return. */
static bool refuse(struct loader *l, const struct option *o, enum option_source source,
                   const char *text, const char *wrong) {
    put_subject(l, o, source, text);
    buf_printf(l->message, " %s; allowed: ", wrong);
    option_put_allowed(o, l->message);
    return false;
}

/* The same for an option that does not exist. */
static bool refuse_name(struct loader *l, const char *name, enum option_source source) {
    const struct option *suggestion = option_suggest(name, source);
    buf_puts(l->message, source == FROM_ENVIRONMENT ? "the environment variable " : "");
    option_put_redacted(name, true, l->message);
    if (source == FROM_FILE)
        buf_printf(l->message, " in the file %s", l->config.file);
    buf_puts(l->message, " is no option");
    buf_puts(l->message, suggestion != NULL ? "; did you mean " : "; --help lists all");
    if (suggestion != NULL) {
        option_put_name(suggestion, source, l->message);
        buf_putc(l->message, '?');
    }
    return false;
}

static bool set_one(struct loader *l, const struct option *o, enum option_source source,
                    const char *text) {
    struct config *c = *source_of(l, o) > source ? &l->scratch : &l->config;
    const char *wrong = option_read(o, text, c);
    return wrong == NULL || refuse(l, o, source, text, wrong);
}

/* Each of the values in @text, which are separated by commas. None, where it is empty. */
static bool set_each(struct loader *l, const struct option *o, enum option_source source,
                     const char *text) {
    static const char blank[] = " \t";
    bool ok = true;
    for (bool more = *text != '\0'; more && ok;) {
        text += strspn(text, blank);
        size_t len = strcspn(text, ",");
        more = text[len] == ',';
        char *value = mem_strndup(text, len);
        text += len + 1;
        while (len > 0 && strchr(blank, value[len - 1]) != NULL)
            value[--len] = '\0';
        ok = set_one(l, o, source, value);
        free(value);
    }
    return ok;
}

static void note_source(struct loader *l, const struct option *o, enum option_source source) {
    if (*source_of(l, o) < source)
        *source_of(l, o) = source;
}

static bool set(struct loader *l, const struct option *o, enum option_source source,
                const char *text) {
    if (o->not_empty && *text == '\0')
        return refuse(l, o, source, text, "is empty");
    note_source(l, o, source);
    return option_is_list(o) ? set_each(l, o, source, text) : set_one(l, o, source, text);
}

/* Find the option that @name (up to its value) means; --no-demo is --demo, *@negated. */
static const struct option *find_argument(const char *name, bool *negated) {
    const struct option *o = option_find(name, FROM_COMMAND_LINE);
    *negated = o == NULL && strncmp(name, "--no-", 5) == 0;
    if (!*negated)
        return o;
    struct buf positive = BUF_INIT;
    buf_printf(&positive, "--%s", name + 5);
    o = option_find(positive.data, FROM_COMMAND_LINE);
    buf_fini(&positive);
    return o != NULL && o->kind == OPTION_BOOL ? o : NULL;
}

static bool choose_generated(struct loader *l, const struct option *o, const char *text) {
    int choice = option_choice(o, text);
    if (choice < 0)
        return refuse(l, o, FROM_COMMAND_LINE, text, "is not among the choices");
    l->generated = (enum generated)choice;
    return true;
}

/* Read the option in argv[*i], and its value behind it, where it needs one. @name is its name
 * alone, @value what stood behind "=" or NULL. */
static bool read_option(struct loader *l, const char *name, const char *value, char **argv,
                        int *i) {
    bool negated;
    const struct option *o = find_argument(name, &negated);
    if (o == NULL)
        return refuse_name(l, name, FROM_COMMAND_LINE);
    bool is_name_alone = negated || (o->kind == OPTION_ACTION && o->choices == NULL);
    if (value != NULL && is_name_alone)
        return refuse(l, o, FROM_COMMAND_LINE, value, "takes no value in this form");
    if (o->kind == OPTION_ACTION)
        l->action = o->action;
    if (o->kind == OPTION_ACTION && is_name_alone)
        return true;
    if (o->kind == OPTION_BOOL && value == NULL)
        value = negated ? "false" : "true";
    if (value == NULL)
        value = argv[++*i];
    if (value == NULL)
        return refuse(l, o, FROM_COMMAND_LINE, NULL, "has no value");
    if (o->kind == OPTION_ACTION)
        return choose_generated(l, o, value);
    return set(l, o, FROM_COMMAND_LINE, value);
}

static bool ends_it(enum option_action action) {
    return action == ACTION_HELP || action == ACTION_GENERATE || action == ACTION_VERSION;
}

static bool read_command_line(struct loader *l, int argc, char **argv) {
    bool ok = true;
    for (int i = 1; ok && i < argc && !ends_it(l->action); i++) {
        const char *text = strcmp(argv[i], "-h") == 0 ? "--help" : argv[i];
        if (text[0] != '-') {
            buf_puts(l->message, "the argument \"");
            option_put_redacted(text, true, l->message);
            buf_puts(l->message, "\" belongs to no option; --help lists all");
            return false;
        }
        size_t len = strcspn(text, "=");
        char *name = mem_strndup(text, len);
        ok = read_option(l, name, text[len] == '=' ? text + len + 1 : NULL, argv, &i);
        free(name);
    }
    return ok;
}

/* Kubernetes tells every pod of a service "sse-relay…" in variables that begin like ours. */
static bool is_service_link(const char *name, const char *value) {
    return strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL ||
           (strstr(name, "_PORT") != NULL && strstr(value, "://") != NULL) ||
           strstr(name, "_TCP_") != NULL || strstr(name, "_UDP_") != NULL;
}

static bool read_variable(struct loader *l, const char *name, const char *value) {
    const struct option *o = option_find(name, FROM_ENVIRONMENT);
    if (o != NULL)
        return *value == '\0' || set(l, o, FROM_ENVIRONMENT, value);
    return is_service_link(name, value) || refuse_name(l, name, FROM_ENVIRONMENT);
}

static bool read_environment(struct loader *l, char **env) {
    bool ok = true;
    for (; ok && env != NULL && *env != NULL; env++) {
        size_t len = strcspn(*env, "=");
        if (strncmp(*env, CONFIG_ENV_PREFIX, strlen(CONFIG_ENV_PREFIX)) != 0 || (*env)[len] == '\0')
            continue;
        char *name = mem_strndup(*env, len);
        ok = read_variable(l, name, *env + len + 1);
        free(name);
    }
    return ok;
}

static bool set_member(void *arg, const char *key, const char *text, bool element) {
    struct loader *l = arg;
    const struct option *o = option_find(key, FROM_FILE);
    if (o == NULL)
        return refuse_name(l, key, FROM_FILE);
    if (!element)
        return set(l, o, FROM_FILE, text);
    if (!option_is_list(o))
        return refuse(l, o, FROM_FILE, NULL, "is an array, but takes one value");
    note_source(l, o, FROM_FILE);
    return text == NULL || set_one(l, o, FROM_FILE, text);
}

static bool read_file(struct loader *l) {
    if (l->config.file == NULL)
        return true;
    struct buf why = BUF_INIT;
    int rc = config_read_file(l->config.file, set_member, l, &why);
    if (why.len > 0)
        buf_printf(l->message, "the file %s%s", l->config.file, why.data);
    buf_fini(&why);
    return rc == RELAY_OK;
}

static void set_defaults(struct loader *l) {
    size_t len;
    const struct option *table = option_table(&len);
    assert(len <= OPTIONS_MAX);
    for (const struct option *o = table; o < table + len; o++)
        if (*source_of(l, o) == FROM_NOWHERE && o->fallback != NULL) {
            bool ok = set(l, o, FROM_DEFAULT, o->fallback);
            assert(ok);
            (void)ok;
        }
}

static const struct option *option_named(const char *name) {
    const struct option *o = option_find(name, FROM_COMMAND_LINE);
    assert(o != NULL);
    return o;
}

/* What says something about tokens is nothing without a key to check them with: --public alone
 * would look as though the other topics were closed. */
static bool check_tokens(struct loader *l) {
    static const char *const of_tokens[] = {"--token-audience",
                                            "--token-issuer",
                                            "--token-cookie",
                                            "--public",
                                            "--max-connections-per-subject",
                                            "--max-failed-tokens"};
    const struct option *ca = option_named("--token-jwks-ca");
    if (l->config.token_jwks_ca != NULL && l->config.token_jwks_url == NULL) {
        put_subject(l, ca, *source_of(l, ca), NULL);
        buf_puts(l->message, " is nothing without an address; allowed: beside --token-jwks-url");
        return false;
    }
    if (l->config.token_secret_files.len + l->config.token_keys.len > 0 ||
        l->config.token_jwks_url != NULL)
        return true;
    for (size_t i = 0; i < sizeof(of_tokens) / sizeof(of_tokens[0]); i++) {
        const struct option *o = option_named(of_tokens[i]);
        const struct config empty = {0};
        if (option_equal(o, &l->config, &empty))
            continue;
        put_subject(l, o, *source_of(l, o), NULL);
        buf_puts(l->message, " is nothing without a key for tokens; allowed: beside "
                             "--token-secret-file, --token-key or --token-jwks-url");
        return false;
    }
    return true;
}

static bool listens_by_tls(const struct config *c) {
    bool tls = c->admin_listen.tls;
    for (size_t i = 0; i < c->listen.len; i++)
        tls = tls || c->listen.items[i].tls;
    return tls;
}

/* The first option of TLS that is set, or NULL. */
static const struct option *tls_option(const struct loader *l) {
    static const char *const of_tls[] = {"--tls-cert", "--tls-key", "--tls-client-ca",
                                         "--tls-ticket-key"};
    const struct config empty = {0};
    for (size_t i = 0; i < sizeof(of_tls) / sizeof(of_tls[0]); i++)
        if (!option_equal(option_named(of_tls[i]), &l->config, &empty))
            return option_named(of_tls[i]);
    return NULL;
}

/* An address with TLS needs a certificate; and a certificate that no address shows is a mistake:
 * whoever gave it believes that the relay speaks TLS. */
static bool check_tls(struct loader *l) {
    const struct config *c = &l->config;
    const struct option *cert = option_named("--tls-cert"), *given = tls_option(l);
    if (!listens_by_tls(c) && given != NULL) {
        put_subject(l, given, *source_of(l, given), NULL);
        buf_puts(l->message, " is nothing without an address that begins with https://; allowed: "
                             "beside --listen https://:8443");
        return false;
    }
    if (listens_by_tls(c) && c->tls_certs.len == 0) {
        buf_puts(l->message, "an address that begins with https:// needs a certificate and its "
                             "key: --tls-cert FILE --tls-key FILE");
        return false;
    }
    if (c->tls_certs.len != c->tls_keys.len) {
        put_subject(l, cert, *source_of(l, cert), NULL);
        buf_printf(l->message,
                   " is given %zu times and --tls-key %zu times; allowed: one key for "
                   "each certificate, in the same order",
                   c->tls_certs.len, c->tls_keys.len);
        return false;
    }
    return true;
}

static bool is_trusted(const struct config *c, const char *word) {
    for (size_t i = 0; i < c->trusted_proxies.len; i++)
        if (strcmp(c->trusted_proxies.items[i], word) == 0)
            return true;
    return false;
}

/* The PROXY protocol is believed from proxies that are named, and from nobody else. */
static bool check_proxied(struct loader *l) {
    const struct config *c = &l->config;
    const struct option *listen = option_named("--listen"), *admin = option_named("--admin-listen");
    if (c->admin_listen.proxied)
        return refuse(l, admin, *source_of(l, admin), c->admin_listen.text,
                      "asks for the PROXY protocol, which is for clients' addresses only");
    for (size_t i = 0; i < c->listen.len; i++) {
        const struct listen_address *a = &c->listen.items[i];
        bool by_file = a->kind == LISTEN_UNIX;
        if (!a->proxied || (by_file ? is_trusted(c, "unix") : c->trusted_proxies.len > 0))
            continue;
        put_subject(l, listen, *source_of(l, listen), a->text);
        buf_printf(l->message,
                   " needs to know whose PROXY protocol is believed; allowed: beside "
                   "--trusted-proxies %s",
                   by_file ? "unix" : "NETWORK, such as 10.0.0.0/8");
        return false;
    }
    return true;
}

/* Rules between values that are allowed each for itself. */
static bool check_together(struct loader *l) {
    const struct option *redis = option_named("--redis");
    const struct option *embedded = option_named("--embedded-redis");
    const struct option *listen = option_named("--listen");
    const struct option *cors = option_named("--cors-origin");
    if (l->config.listen.len == 0)
        return refuse(l, listen, *source_of(l, listen), "", "is empty");
    for (size_t i = 0; i < l->config.cors_origins.len; i++)
        if (l->config.cors_origins.len > 1 && strcmp(l->config.cors_origins.items[i], "*") == 0)
            return refuse(l, cors, *source_of(l, cors), "*", "stands beside other origins");
    if (l->config.ttl_ms > l->config.memory_ms) {
        const struct option *ttl = option_named("--ttl"), *memory = option_named("--memory");
        put_subject(l, ttl, *source_of(l, ttl), NULL);
        buf_puts(l->message, " is longer than ");
        put_subject(l, memory, *source_of(l, memory), NULL);
        buf_puts(l->message, "; allowed: no event outlives the memory");
        return false;
    }
    if (l->config.publish_burst > 0 && l->config.publish_rate == 0) {
        const struct option *burst = option_named("--publish-burst");
        put_subject(l, burst, *source_of(l, burst), NULL);
        buf_puts(l->message, " is nothing without a rate; allowed: beside --publish-rate");
        return false;
    }
    if (l->config.embedded_redis && *source_of(l, redis) > FROM_DEFAULT) {
        put_subject(l, embedded, *source_of(l, embedded), NULL);
        buf_puts(l->message, " starts a Redis of its own, and ");
        put_subject(l, redis, *source_of(l, redis), l->config.redis_url);
        buf_puts(l->message, " names another; allowed: one of the two");
        return false;
    }
    return check_tokens(l) && check_tls(l) && check_proxied(l);
}

static void put_config(const struct config *c, struct buf *out) {
    size_t len;
    const struct option *table = option_table(&len);
    struct buf value = BUF_INIT;
    const char *separator = "{\n";
    for (const struct option *o = table; o < table + len; o++) {
        buf_reset(&value);
        if (o->kind == OPTION_ACTION || o->not_in_file || !option_put_json(o, c, &value))
            continue;
        buf_printf(out, "%s  \"", separator);
        option_put_name(o, FROM_FILE, out);
        buf_printf(out, "\": %s", value.data);
        separator = ",\n";
    }
    buf_puts(out, "\n}\n");
    buf_fini(&value);
}

static enum config_action act(struct loader *l) {
    switch (l->action) {
    case ACTION_NONE:
        return CONFIG_RUN;
    case ACTION_HELP:
        config_put_help(l->message);
        break;
    case ACTION_GENERATE:
        config_put_generated(l->generated, l->message);
        break;
    case ACTION_VERSION:
        buf_puts(l->message, "sse-relay " SSE_VERSION "\n");
        break;
    case ACTION_CHECK:
        return CONFIG_CHECK_FILES;
    case ACTION_PRINT:
        put_config(&l->config, l->message);
        break;
    case ACTION_HEALTH:
        return CONFIG_CHECK_HEALTH;
    case ACTION_READY:
        return CONFIG_CHECK_READY;
    }
    return CONFIG_EXIT_OK;
}

/* Everything below the command line, unless that has asked for something else. */
static bool read_rest(struct loader *l, char **env) {
    if (ends_it(l->action))
        return true;
    if (!read_environment(l, env) || !read_file(l))
        return false;
    set_defaults(l);
    return check_together(l);
}

enum config_action config_load(struct config *out, int argc, char **argv, char **env,
                               struct buf *message) {
    struct loader l = {.message = message};
    enum config_action action = CONFIG_EXIT_USAGE;
    buf_reset(message);
    buf_puts(message, "sse-relay: ");
    if (read_command_line(&l, argc, argv) && read_rest(&l, env)) {
        buf_reset(message);
        action = act(&l);
    } else {
        buf_puts(message, "\n");
    }
    config_fini(&l.scratch);
    if (action < CONFIG_EXIT_OK)
        *out = l.config;
    else
        config_fini(&l.config);
    return action;
}

/* The names of the options that differ, and that a reload does not change. */
static void put_differences(const struct config *a, const struct config *b, struct buf *out) {
    size_t len;
    const struct option *table = option_table(&len);
    for (const struct option *o = table; o < table + len; o++) {
        if (o->kind == OPTION_ACTION || o->is_reloaded || option_equal(o, a, b))
            continue;
        buf_puts(out, out->len > 0 ? ", " : "");
        option_put_name(o, FROM_FILE, out);
    }
}

/* Whether @path can be read only once, as `--config <(generate)` can: opening it again would wait
 * for a writer who is long gone. */
static bool is_read_once(const char *path) {
    struct stat file;
    return path != NULL && stat(path, &file) == 0 && !S_ISREG(file.st_mode) &&
           !S_ISDIR(file.st_mode);
}

int config_reload(const struct config *running, const struct config_sources *sources,
                  enum log_level *level, struct buf *message) {
    struct loader l = {.message = message};
    buf_reset(message);
    if (is_read_once(running->file)) {
        buf_printf(message, "the file %s is no regular file, and was read at the start only",
                   running->file);
        return RELAY_EINVAL;
    }
    bool ok = read_command_line(&l, sources->argc, sources->argv) && read_rest(&l, sources->env);
    if (ok) {
        put_differences(running, &l.config, message);
        *level = l.config.log_level;
    }
    config_fini(&l.scratch);
    config_fini(&l.config);
    return ok ? RELAY_OK : RELAY_EINVAL;
}

void config_fini(struct config *c) {
    size_t len;
    const struct option *table = option_table(&len);
    for (const struct option *o = table; o < table + len; o++)
        option_clear(o, c);
}
