/* The command `token`; see token_command.h. */
#include "publisher-cli/token/token_command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/terminal.h"
#include "relay/auth/mint.h"
#include "relay/auth/token.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/rng.h"

enum { ID_DIGITS = 16 };

static int print(FILE *out, FILE *err, const struct buf *text) {
    if (fwrite(text->data, 1, text->len, out) == text->len && fflush(out) == 0)
        return EXIT_DONE;
    complain(err, "cannot write to standard output");
    return EXIT_REFUSED;
}

/* ---- making one ---- */

static void put_text(struct buf *json, const char *name, const char *value) {
    if (value == NULL)
        return;
    buf_printf(json, "\"%s\":", name);
    buf_put_json(json, value, strlen(value));
    buf_putc(json, ',');
}

static void put_list(struct buf *json, const struct texts *list) {
    buf_putc(json, '[');
    for (size_t i = 0; i < list->count; i++) {
        buf_puts(json, i > 0 ? "," : "");
        buf_put_json(json, list->all[i], strlen(list->all[i]));
    }
    buf_putc(json, ']');
}

static void put_topics(struct buf *json, const struct options *o) {
    buf_puts(json, "{\"subscribe\":");
    put_list(json, &o->may_subscribe);
    buf_puts(json, ",\"publish\":");
    put_list(json, &o->may_publish);
    buf_putc(json, '}');
}

/* The claim for topics, under its name or, where that is a JSON pointer, at its place. */
static void put_claim(struct buf *json, const struct options *o) {
    const char *p = o->claim;
    unsigned depth = 0;
    if (*p != '/') {
        buf_put_json(json, p, strlen(p));
        buf_putc(json, ':');
        put_topics(json, o);
        return;
    }
    while (*p == '/') {
        struct buf name = BUF_INIT;
        buf_puts(json, depth++ > 0 ? "{" : "");
        for (p++; *p != '\0' && *p != '/'; p++) {
            bool escaped = *p == '~' && (p[1] == '0' || p[1] == '1');
            buf_putc(&name, !escaped ? *p : p[1] == '0' ? '~' : '/');
            p += escaped;
        }
        buf_put_json(json, name.data, name.len);
        buf_putc(json, ':');
        buf_fini(&name);
    }
    put_topics(json, o);
    for (; depth > 1; depth--)
        buf_putc(json, '}');
}

static void put_claims(struct buf *json, const struct options *o) {
    uint64_t now_s = clock_wall_ms() / 1000;
    char id[ID_DIGITS + 1];
    struct rng rng;
    rng_init(&rng);
    rng_hex(&rng, id, ID_DIGITS);
    buf_putc(json, '{');
    put_text(json, "jti", id); /* by which it can be kicked */
    put_text(json, "sub", o->subject);
    put_text(json, "iss", o->issuer);
    put_text(json, "aud", o->audience);
    buf_printf(json, "\"iat\":%" PRIu64 ",\"exp\":%" PRIu64 ",", now_s,
               now_s + o->expires_ms / 1000);
    put_claim(json, o);
    buf_putc(json, '}');
}

/* As a line of a file that only its owner may read. */
static int write_header(const char *path, const struct buf *token, FILE *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool is_written = file != NULL && fprintf(file, "Authorization: Bearer %s\n", token->data) > 0;
    if (file != NULL)
        is_written = fclose(file) == 0 && is_written;
    else if (fd >= 0)
        close(fd);
    if (is_written)
        return EXIT_DONE;
    complain(err, "the token cannot be written to %s: %s.", path, strerror(errno));
    return EXIT_REFUSED;
}

static int make(const struct options *o, FILE *out, FILE *err) {
    struct buf json = BUF_INIT, token = BUF_INIT, why = BUF_INIT;
    const char *path = o->secret_file != NULL ? o->secret_file : o->key_file;
    int code = EXIT_USAGE;
    put_claims(&json, o);
    if (mint_token(path, o->secret_file != NULL, o->kid, json.data, json.len, &token, &why) !=
        RELAY_OK) {
        complain(err, "%s.", why.data);
    } else if (o->header_file != NULL) {
        code = write_header(o->header_file, &token, err);
    } else {
        buf_putc(&token, '\n');
        code = print(out, err, &token);
    }
    buf_fini(&json);
    buf_fini(&token);
    buf_fini(&why);
    return code;
}

/* ---- looking at one ---- */

/* From the environment, or the first word of standard input. */
static void read_token(const struct options *o, struct buf *token) {
    char piece[4096];
    size_t n;
    if (o->token != NULL) {
        buf_puts(token, o->token);
        return;
    }
    while (token->len <= TOKEN_MAX_BYTES && (n = fread(piece, 1, sizeof(piece), stdin)) > 0)
        buf_append(token, piece, n);
    while (token->len > 0 && strchr(" \t\r\n", token->data[token->len - 1]) != NULL)
        token->len--;
}

static void put_time(struct buf *text, uint64_t ms) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char when[40];
    gmtime_r(&seconds, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_puts(text, when);
}

static void put_patterns(struct buf *text, const char *what, const struct grant_patterns *p) {
    buf_puts(text, what);
    for (size_t i = 0; i < p->len; i++) {
        buf_puts(text, i > 0 ? ", " : " ");
        terminal_put_shown(text, p->items[i].text, p->items[i].len);
    }
    buf_puts(text, p->len > 0 ? "\n" : " nothing\n");
}

static void put_grant(struct buf *text, const struct grant *g) {
    buf_puts(text, "subject:     ");
    if (g->subject.data != NULL)
        terminal_put_shown(text, g->subject.data, g->subject.len);
    buf_puts(text, g->subject.data != NULL ? "\nvalid until: " : "none\nvalid until: ");
    if (g->ends_ms > 0)
        put_time(text, g->ends_ms);
    buf_puts(text, g->ends_ms > 0 ? "\n" : "for ever\n");
    put_patterns(text, "may read:   ", &g->patterns[AUTH_SUBSCRIBE]);
    put_patterns(text, "may publish:", &g->patterns[AUTH_PUBLISH]);
}

/* The keys that were given, to verify with; an empty set where there are none. */
static int read_keys(const struct options *o, struct key_set *set, struct buf *why) {
    int rc = RELAY_OK;
    if (o->secret_file != NULL)
        rc = key_set_add_secret_file(set, o->secret_file, why);
    if (rc == RELAY_OK && o->key_file != NULL)
        rc = key_set_add_key_file(set, o->key_file, why);
    return rc;
}

/* What is wrong with the token, or NULL and what it allows in @g. */
static const char *judge(const struct options *o, const struct key_set *set,
                         const struct buf *token, const struct buf *claims, struct grant *g) {
    char *audience = (char *)(uintptr_t)o->audience, *issuer = (char *)(uintptr_t)o->issuer;
    struct grant_rules rules = {.audiences = &audience,
                                .audiences_len = audience != NULL,
                                .issuers = &issuer,
                                .issuers_len = issuer != NULL,
                                .any_party = audience == NULL && issuer == NULL,
                                .claim = o->claim};
    if (set->len > 0)
        return token_verify(token->data, token->len, set, &rules, clock_wall_ms(), g);
    return grant_read(claims->data, claims->len, &rules, clock_wall_ms(), g);
}

static int show_with(const struct options *o, const struct key_set *set, const struct buf *token,
                     FILE *out, FILE *err) {
    struct buf claims = BUF_INIT, text = BUF_INIT;
    struct grant g;
    int code = EXIT_REFUSED;
    if (token_claims(token->data, token->len, &claims) != RELAY_OK) {
        complain(err, "this is not a JSON Web Token: three texts in base64url with dots between.");
    } else {
        const char *wrong = judge(o, set, token, &claims, &g);
        buf_puts(&text, "claims:      ");
        terminal_put_shown(&text, claims.data, claims.len);
        buf_puts(&text, "\nsignature:   ");
        buf_puts(&text, set->len == 0   ? "not looked at, without --secret-file or --key-file\n"
                        : wrong == NULL ? "good\n"
                                        : "see below\n");
        if (wrong == NULL)
            put_grant(&text, &g);
        code = print(out, err, &text);
        if (wrong != NULL) {
            complain(err, "a relay would refuse it: %s", wrong);
            code = EXIT_REFUSED;
        } else {
            grant_fini(&g);
        }
    }
    buf_fini(&claims);
    buf_fini(&text);
    return code;
}

static int show(const struct options *o, FILE *out, FILE *err) {
    struct key_set *set = key_set_new();
    struct buf token = BUF_INIT, why = BUF_INIT;
    int code = EXIT_USAGE;
    if (read_keys(o, set, &why) != RELAY_OK) {
        complain(err, "%s.", why.data);
    } else {
        read_token(o, &token);
        code = show_with(o, set, &token, out, err);
    }
    buf_fini(&token);
    buf_fini(&why);
    key_set_unref(set);
    return code;
}

int token_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    (void)loop;
    return o->is_show ? show(o, out, err) : make(o, out, err);
}
