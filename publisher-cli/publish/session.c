/* What a new connection is asked; see session.h. */
#include "publisher-cli/publish/session.h"

#include <string.h>

#include "relay/base/err.h"
#include "relay/redis/reply.h"

void session_init(struct session *s, struct redis_client *client, void (*on_ready)(void *arg),
                  void (*on_refused)(void *arg, const char *why), void *arg) {
    *s = (struct session){
        .client = client, .on_ready = on_ready, .on_refused = on_refused, .arg = arg};
}

/* Sent behind INFO, so both answers are there. A user without the right to SCRIPT does without. */
static void on_loaded(void *arg, int status, const struct redisReply *reply) {
    struct session *s = arg;
    if (status == RELAY_OK && reply->type == REDIS_REPLY_STRING && reply->len == PUBLISH_SHA_BYTES)
        memcpy(s->sha, reply->str, PUBLISH_SHA_BYTES + 1);
    if (reply != NULL && s->server.run_id[0] != '\0' && !s->server.is_too_old)
        s->on_ready(s->arg);
}

static void on_info(void *arg, int status, const struct redisReply *reply) {
    struct session *s = arg;
    if (status == RELAY_OK && reply->type == REDIS_REPLY_STRING)
        redis_server_read(reply->str, &s->server);
    if (reply == NULL)
        return;
    if (s->server.run_id[0] == '\0')
        s->on_refused(s->arg, status == RELAY_EREMOTE ? reply->str : "INFO holds no run_id");
    else if (s->server.is_too_old)
        s->on_refused(s->arg, "older than Redis " REDIS_SERVER_OLDEST);
}

void session_prepare(struct session *s) {
    const char *info[] = {"INFO", "server"};
    const char *load[] = {"SCRIPT", "LOAD", NULL};
    size_t load_len[] = {6, 4, 0};
    load[2] = publish_script(&load_len[2]);
    s->server.run_id[0] = s->sha[0] = '\0';
    s->server.is_too_old = false;
    if (redis_client_command(s->client, 2, info, NULL, on_info, s) == RELAY_OK)
        redis_client_command(s->client, 3, load, load_len, on_loaded, s);
}
