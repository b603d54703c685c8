/* What was asked of the simulated Redis, and what it said, one JSON line each: test_redis.py sends
 * the same to a real one. */
#include "tests/simulation/record.h"

#include <inttypes.h>
#include <stdio.h>

FILE *record_to;

static const char tag[] = "sse:{0}:";

static void begin(const struct world *w, const char *what) {
    fprintf(record_to, "{\"us\":%" PRIu64 ",\"run\":\"run%05u\",\"do\":\"%s\"",
            server_ms(w) * 1000 + w->scheduler.now_us % 1000, w->server.run, what);
}

static void end(void) {
    fputs("}\n", record_to);
}

static void put_topics(const struct publish *p, const char *before) {
    for (unsigned i = 0; i < p->topics_len; i++)
        fprintf(record_to, ",\"%s%c\"", before, 'a' + p->topics[i]);
}

void record_publish(const struct world *w, const struct publish *p, const struct published *out) {
    if (record_to == NULL)
        return;
    begin(w, "script");
    bool denied = false;
    for (unsigned i = 0; i < p->topics_len; i++)
        denied = denied || (p->denied >> p->topics[i] & 1) != 0;
    fprintf(record_to, ",\"denied\":%s,\"keys\":[\"%sclock\"", denied ? "true" : "false", tag);
    for (unsigned i = 0; i < p->topics_len; i++)
        fprintf(record_to, ",\"%slog:%c\",\"%slast:%c\"", tag, 'a' + p->topics[i], tag,
                'a' + p->topics[i]);
    fprintf(record_to,
            "],\"values\":[\"%s\",\"run%05u\",\"%" PRIu64 "\",\"%" PRIu64 "\",\"%" PRIu64 "\",\"",
            p->birth, p->run, p->memory_ms, p->ttl_ms, p->history);
    if (p->topics_len > 0)
        fprintf(record_to, "{\\\"data\\\":\\\"%u\\\"}", p->content);
    fputs("\",\"\"", record_to);
    put_topics(p, "sse:");
    fputs("],\"answer\":\"", record_to);
    if (out->error != NULL) {
        fprintf(record_to, "%.*s", 5, out->error);
    } else {
        fprintf(record_to, "%d 0", out->announced);
        for (unsigned i = 0; i < out->count; i++)
            fprintf(record_to, " %s", w->events[out->events[i]].id_text);
        if (out->count == 0) {
            char id[TEXT_MAX];
            put_id(id, &out->position);
            fprintf(record_to, " %s", id);
        }
    }
    fputs("\"", record_to);
    end();
}

void record_delete(const struct world *w, const char *kind, int topic) {
    if (record_to == NULL)
        return;
    begin(w, "del");
    fprintf(record_to, ",\"key\":\"%s%s", tag, kind);
    if (topic >= 0)
        fprintf(record_to, ":%c", 'a' + topic);
    fputs("\"", record_to);
    end();
}

void record_trim(const struct world *w, unsigned topic, unsigned keep) {
    if (record_to == NULL)
        return;
    begin(w, "trim");
    fprintf(record_to, ",\"key\":\"%slog:%c\",\"keep\":%u", tag, 'a' + topic, keep);
    end();
}

void record_world(const struct world *w) {
    if (record_to == NULL)
        return;
    begin(w, "world");
    fprintf(record_to, ",\"node_entries\":%u", w->settings.node_entries);
    end();
}

void record_word(const struct world *w, const char *word) {
    if (record_to == NULL)
        return;
    begin(w, word);
    end();
}

void record_read(struct world *w, const struct parcel *p) {
    if (record_to == NULL)
        return;
    if (p->kind == PARCEL_CLOCK) {
        const struct clock_state *c = p->clock;
        begin(w, "clock");
        fputs(",\"answer\":{", record_to);
        if (c->exists)
            fprintf(record_to,
                    "\"birth\":\"%s\",\"epoch\":\"%" PRIu64
                    "\",\"run\":\"run%05u\",\"ms\":\"%" PRIu64 "\",\"seq\":\"%" PRIu64
                    "\",\"memory\":\"%" PRIu64 "\"",
                    c->birth, c->epoch, c->run, c->ms, c->seq, c->memory_ms);
        for (unsigned i = 0; i < c->notes_len; i++)
            fprintf(record_to, ",\"from:%" PRIu64 "\":\"%" PRIu64 "-%" PRIu64 "\"",
                    c->notes[i].epoch, c->notes[i].place.ms, c->notes[i].place.seq);
        fputs("}", record_to);
        end();
    } else if (p->kind == PARCEL_LAST) {
        begin(w, "last");
        fprintf(record_to, ",\"key\":\"%slast:%c\",\"answer\":", tag, 'a' + p->topic);
        if (p->event == NO_EVENT)
            fputs("null", record_to);
        else
            fprintf(record_to, "\"%s\"", w->events[p->event].id_text);
        end();
    } else if (p->kind == PARCEL_LOG) {
        begin(w, "log");
        fprintf(record_to,
                ",\"key\":\"%slog:%c\",\"backwards\":%s,\"count\":%u,\"low\":\"%" PRIu64 "-%" PRIu64
                "\",\"high\":\"%" PRIu64 "-%" PRIu64 "\",\"answer\":[",
                tag, 'a' + p->topic, p->backwards ? "true" : "false", p->count, p->low.ms,
                p->low.seq, p->high.ms, p->high.seq);
        for (unsigned i = 0; i < p->entries_len; i++) {
            const struct redisReply *e = event_entry(w, p->entries[i]);
            fprintf(record_to, "%s[\"%s\",\"%u\",\"%.*s\",\"%s\"]", i > 0 ? "," : "",
                    e->element[0]->str, w->events[p->entries[i]].content,
                    (int)e->element[1]->element[3]->len, e->element[1]->element[3]->str,
                    e->element[1]->element[5]->str);
        }
        fputs("]", record_to);
        end();
    }
}
