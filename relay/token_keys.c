/* Keys of tokens; see token_keys.h. */
#include "relay/token_keys.h"

#include "relay/base/err.h"
#include "relay/base/log.h"

int token_keys_init(struct token_keys *t, const struct config *config, struct buf *why) {
    *t = (struct token_keys){
        .config = config, .watch = {.lists = {&config->token_secret_files, &config->token_keys}}};
    if (config->token_secret_files.len + config->token_keys.len == 0)
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
                                             .claim = config->token_claim}};
    file_watch_look(&t->watch);
    return auth_new(&options, &t->auth, why);
}

void token_keys_reload(struct token_keys *t) {
    struct buf why = BUF_INIT;
    if (t->auth == NULL)
        return;
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
}

void token_keys_close(struct token_keys *t) {
    file_watch_close(&t->watch);
}

void token_keys_fini(struct token_keys *t) {
    auth_free(t->auth);
    t->auth = NULL;
}
