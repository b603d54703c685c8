/* Keys of tokens; see token_keys.h. */
#include "relay/token_keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/log.h"

/* An address that cannot be asked now shows when it is asked; its authorities show at once. */
static int check_ca(const char *path, struct buf *why) {
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    if (path == NULL || file != NULL) {
        if (file != NULL)
            fclose(file);
        return RELAY_OK;
    }
    buf_printf(why, "the file of authorities %s cannot be read: %s", path, strerror(errno));
    return RELAY_EINVAL;
}

static void want(void *arg) {
    struct token_keys *t = arg;
    jwks_source_want(&t->source);
}

static int take(void *arg, const char *json, size_t len, uint64_t asked_ms, struct buf *why) {
    struct token_keys *t = arg;
    return auth_take_fetched(t->auth, json, len, asked_ms, why);
}

static int make(struct token_keys *t, const struct auth_options *options, struct buf *why) {
    const char *url = t->config->token_jwks_url, *ca = t->config->token_jwks_ca;
    if (check_ca(ca, why) != RELAY_OK || auth_new(options, &t->auth, why) != RELAY_OK)
        return RELAY_EINVAL;
    if (url != NULL)
        jwks_source_init(&t->source, url, ca, take, t);
    return RELAY_OK;
}

int token_keys_init(struct token_keys *t, const struct config *config, struct buf *why) {
    *t = (struct token_keys){
        .config = config, .watch = {.lists = {&config->token_secret_files, &config->token_keys}}};
    if (config->token_secret_files.len + config->token_keys.len == 0 &&
        config->token_jwks_url == NULL)
        return RELAY_OK;
    struct auth_options options = {.secret_files = config->token_secret_files.items,
                                   .secret_files_len = config->token_secret_files.len,
                                   .key_files = config->token_keys.items,
                                   .key_files_len = config->token_keys.len,
                                   .public_patterns = config->public_topics.items,
                                   .public_patterns_len = config->public_topics.len,
                                   .rules = {.audiences = config->token_audiences.items,
                                             .audiences_len = config->token_audiences.len,
                                             .issuers = config->token_issuers.items,
                                             .issuers_len = config->token_issuers.len,
                                             .claim = config->token_claim},
                                   .wanted = config->token_jwks_url != NULL ? want : NULL,
                                   .wanted_arg = t};
    file_watch_look(&t->watch);
    return make(t, &options, why);
}

void token_keys_reload(struct token_keys *t) {
    struct buf why = BUF_INIT;
    if (t->auth == NULL)
        return;
    if (t->config->token_jwks_url != NULL)
        jwks_source_hurry(&t->source);
    file_watch_look(&t->watch);
    const char *pipe = file_watch_pipe(&t->watch);
    if (pipe != NULL)
        log_warn("a file of keys is no regular file, so the keys of tokens are not read again",
                 "file=%s", pipe);
    else if (auth_reload(t->auth, &why) == RELAY_OK)
        log_info("the keys of tokens were read again", "keys=%zu", auth_keys(t->auth));
    else
        log_error("the keys of tokens were not read again; those of before are used on", "why=%s",
                  why.data);
    buf_fini(&why);
}

static void on_changed(void *arg) {
    token_keys_reload(arg);
}

/* Whoever starts a relay without keys should know what that means. */
static void tell(const struct token_keys *t) {
    bool open = t->config->allow_anonymous_publish;
    const char *publishing = open ? "everybody" : t->auth != NULL ? "by token" : "nobody over HTTP";
    if (t->auth != NULL)
        log_info("reading needs a token, but for public topics",
                 "keys=%zu public=%zu publishing=%s", auth_keys(t->auth),
                 t->config->public_topics.len, publishing);
    else
        log_info("no keys for tokens: everybody who reaches this relay may read every topic",
                 "publishing=%s", publishing);
    if (t->auth != NULL && open)
        log_warn(
            "publishing needs no token because of --allow-anonymous-publish: leave that out to "
            "guard it too",
            NULL);
}

void token_keys_start(struct token_keys *t, uv_loop_t *loop) {
    tell(t);
    file_watch_start(&t->watch, loop, t->auth != NULL, on_changed, t);
    if (t->config->token_jwks_url != NULL)
        jwks_source_start(&t->source, loop);
}

void token_keys_close(struct token_keys *t) {
    file_watch_close(&t->watch);
    if (t->config->token_jwks_url != NULL)
        jwks_source_close(&t->source);
}

void token_keys_fini(struct token_keys *t) {
    if (t->auth != NULL && t->config->token_jwks_url != NULL)
        jwks_source_fini(&t->source);
    auth_free(t->auth);
    t->auth = NULL;
}
