/* A publisher of durable events for tests; see durable.h. */
#include "tests/loop/bus/durable.h"

#include <hiredis.h>
#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "tests/unit/unit.h"

static redisReply *ask(struct durable *d, int argc, const char **argv, const size_t *argv_len) {
    redisReply *reply = redisCommandArgv(d->cli, argc, argv, argv_len);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", argv[0], reply != NULL ? reply->str : d->cli->errstr);
    return reply;
}

void durable_announce(struct durable *d, bool announces) {
    const char *mute[] = {"ACL", "SETUSER", "mute", "on", "nopass", "~*", "+@all", "resetchannels"};
    freeReplyObject(ask(d, 8, mute, NULL));
    freeReplyObject(ask(d, 3, (const char *[]){"AUTH", announces ? "default" : "mute", "x"}, NULL));
}

void durable_open(struct durable *d, const char *socket) {
    size_t len;
    const char *script = publish_script(&len);
    memset(d, 0, sizeof(*d));
    d->cli = redisConnectUnix(socket);
    assert_int_equal(d->cli->err, 0);
    redisReply *reply = ask(d, 2, (const char *[]){"INFO", "server"}, NULL);
    redis_info_value(reply->str, "run_id", d->run_id);
    freeReplyObject(reply);
    reply = ask(d, 3, (const char *[]){"SCRIPT", "LOAD", script}, (const size_t[]){6, 4, len});
    snprintf(d->sha, sizeof(d->sha), "%s", reply->str);
    freeReplyObject(reply);
}

void durable_close(struct durable *d) {
    if (d->cli != NULL)
        redisFree(d->cli);
    d->cli = NULL;
}

struct event_id durable_publish(struct durable *d, const char *topic, const char *data) {
    char birth[16];
    struct publish_topic name = {topic, topic != NULL ? strlen(topic) : 0};
    struct publish_request request = {
        .prefix = "sse",
        .topics = &name,
        .topics_count = topic != NULL ? 1 : 0,
        .event = {.data = data, .data_len = data != NULL ? strlen(data) : 0},
        .history = d->history,
        .run_id = d->run_id,
        .birth = birth};
    struct publish_command command;
    struct publish_answer answer;
    struct event_id id = {.epoch = 0};
    const char *text;
    size_t len;
    snprintf(birth, sizeof(birth), "b%u%.6s", ++d->births, d->run_id);
    publish_command_init(&command, &request);
    publish_command_use_sha(&command, d->sha);
    redisReply *reply = ask(d, command.argc, command.argv, command.argv_len);
    assert_int_equal(publish_answer_parse(reply->str, reply->len, &answer), RELAY_OK);
    assert_true(publish_answer_next(&answer, &text, &len));
    assert_int_equal(id_parse(text, len, &id), RELAY_OK);
    freeReplyObject(reply);
    publish_command_fini(&command);
    return id;
}
