/* The events that were published in a world, each once, with all the forms in which Redis tells of
 * them made beforehand: an answer is then a few pointers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "relay/wire/id.h"
#include "tests/simulation/world.h"

enum { ARENA_BYTES = 512 * 1024 * 1024, PADDING_MAX = 4096 };

void *arena_take(struct world *w, size_t size) {
    if (w->arena == NULL) {
        w->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (w->arena == MAP_FAILED)
            abort();
        w->arena_cap = ARENA_BYTES;
    }
    size = (size + 15) & ~(size_t)15;
    if (w->arena_used + size > w->arena_cap) {
        fputs("a world takes more than its arena holds\n", stderr);
        abort();
    }
    void *p = w->arena + w->arena_used;
    w->arena_used += size;
    return p;
}

static uint32_t put_number(char *out, uint64_t value, unsigned base) {
    char digits[24];
    uint32_t len = 0;
    do {
        digits[len++] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % base];
        value /= base;
    } while (value > 0);
    for (uint32_t i = 0; i < len; i++)
        out[i] = digits[len - 1 - i];
    out[len] = '\0';
    return len;
}

/* As id_format(), without a buffer that grows. */
uint32_t put_id(char *out, const struct event_id *id) {
    uint32_t len = (uint32_t)strlen(id->birth);
    memcpy(out, id->birth, len);
    out[len++] = '.';
    len += put_number(out + len, id->epoch, 36);
    out[len++] = '.';
    len += put_number(out + len, id->ms, 36);
    out[len++] = '-';
    len += put_number(out + len, id->seq, 36);
    out[len] = '\0';
    return len;
}

/* `sse1 <id> <prev> <json>` */
static void put_message(struct world *w, struct sim_event *e, unsigned padding) {
    char *at = e->message = arena_take(w, 64 + 2 * TEXT_MAX + padding);
    memcpy(at, "sse1 ", 5);
    at += 5;
    memcpy(at, e->id_text, e->id_len);
    at += e->id_len;
    *at++ = ' ';
    if (e->prev == NO_EVENT) {
        *at++ = '0';
    } else {
        const struct sim_event *prev = &w->events[e->prev];
        memcpy(at, prev->id_text, prev->id_len);
        at += prev->id_len;
    }
    *at++ = ' ';
    e->json_at = (uint32_t)(at - e->message);
    memcpy(at, "{\"data\":\"", 9);
    at += 9;
    at += put_number(at, e->content, 10);
    if (padding > 0) {
        *at++ = ' ';
        memset(at, 'x', padding);
        at += padding;
    }
    if (e->unreadable) { /* a member twice */
        memcpy(at, "\",\"data\":\"", 10);
        at += 10;
    }
    memcpy(at, "\"}", 3);
    e->message_len = (uint32_t)(at + 2 - e->message);
}

int event_new(struct world *w, const struct sim_event *given, unsigned padding) {
    int number = (int)w->events_len++;
    struct sim_event *e = &w->events[number];
    *e = *given;
    e->id_len = put_id(e->id_text, &e->id);
    e->entry = NULL;
    put_message(w, e, padding < PADDING_MAX ? padding : PADDING_MAX);
    return number;
}

static void make_text(redisReply *r, char *text, size_t len) {
    *r = (redisReply){.type = REDIS_REPLY_STRING, .str = text, .len = len};
}

const struct redisReply *event_entry(struct world *w, unsigned number) {
    static char name_e[] = "e", name_p[] = "p", name_g[] = "g", first[] = "0", strange[] = "x";
    struct sim_event *e = &w->events[number];
    if (e->entry != NULL)
        return &e->entry->array;
    struct entry_reply *r = e->entry = arena_take(w, sizeof(*r));
    uint32_t len = put_number(r->place, e->id.ms, 10);
    r->place[len++] = '-';
    len += put_number(r->place + len, e->id.seq, 10);
    make_text(&r->id, r->place, len);
    make_text(&r->items[0], e->foreign ? strange : name_e, 1);
    make_text(&r->items[1], e->message + e->json_at, e->message_len - e->json_at);
    make_text(&r->items[2], name_p, 1);
    if (e->prev == NO_EVENT)
        make_text(&r->items[3], first, 1);
    else
        make_text(&r->items[3], w->events[e->prev].id_text, w->events[e->prev].id_len);
    make_text(&r->items[4], name_g, 1);
    make_text(&r->items[5], r->epoch, put_number(r->epoch, e->id.epoch, 10));
    for (int i = 0; i < 6; i++)
        r->field_elements[i] = &r->items[i];
    r->fields = (redisReply){
        .type = REDIS_REPLY_ARRAY, .elements = e->foreign ? 2 : 6, .element = r->field_elements};
    r->elements[0] = &r->id;
    r->elements[1] = &r->fields;
    r->array = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = r->elements};
    return &r->array;
}
