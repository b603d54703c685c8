/* hiredis's reader with an arena; see parser.h. */
#include "relay/redis/parser.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/reply.h"

enum {
    BLOCK_BYTES = 16 * 1024,       /* holds nearly every reply; larger ones get a block more */
    READER_KEEP_BYTES = 256 * 1024 /* the reader's idle buffer is freed above this */
};

struct redis_parser_block {
    struct redis_parser_block *next;
    size_t cap;
    size_t used;
    alignas(max_align_t) char bytes[];
};

static struct redis_parser_block *block_new(struct redis_parser *p, size_t cap) {
    struct redis_parser_block *block = malloc(sizeof(*block) + cap);
    if (block == NULL)
        return NULL;
    block->next = p->blocks;
    block->cap = cap;
    block->used = 0;
    p->blocks = block;
    return block;
}

/* NULL above the limit, which hiredis takes for a lack of memory. */
static void *arena_alloc(struct redis_parser *p, size_t size) {
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (size > p->limit_bytes - p->used_bytes)
        return NULL;
    struct redis_parser_block *block = p->blocks;
    if (size > block->cap - block->used)
        block = block_new(p, size > BLOCK_BYTES ? size : BLOCK_BYTES);
    if (block == NULL)
        return NULL;
    void *memory = block->bytes + block->used;
    block->used += size;
    p->used_bytes += size;
    return memory;
}

static void arena_reset(struct redis_parser *p) {
    while (p->blocks->next != NULL) {
        struct redis_parser_block *block = p->blocks;
        p->blocks = block->next;
        free(block);
    }
    p->blocks->used = 0;
    p->used_bytes = 0;
}

/* A reply object, put into the array that it belongs to. */
static redisReply *create(const redisReadTask *task, int type) {
    struct redis_parser *p = task->privdata;
    p->is_foreign = p->is_foreign || type > REDIS_REPLY_ERROR; /* hiredis 1 reads RESP3 unasked */
    redisReply *reply = p->is_foreign ? NULL : arena_alloc(p, sizeof(*reply));
    if (reply == NULL)
        return NULL;
    memset(reply, 0, sizeof(*reply));
    reply->type = type;
    if (task->parent != NULL) {
        redisReply *parent = task->parent->obj;
        parent->element[task->idx] = reply;
    }
    return reply;
}

static void *create_string(const redisReadTask *task, char *text, size_t len) {
    redisReply *reply = create(task, task->type);
    char *copy = reply == NULL ? NULL : arena_alloc(task->privdata, len + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    reply->str = copy;
    reply->len = len;
    return reply;
}

#if HIREDIS_MAJOR >= 1
typedef size_t array_length;
#else
typedef int array_length;
#endif

static void *create_array(const redisReadTask *task, array_length elements) {
    const struct redis_parser *p = task->privdata;
    redisReply *reply = create(task, task->type);
    if (reply == NULL || (size_t)elements > p->limit_bytes / sizeof(*reply->element))
        return NULL;
    reply->element = arena_alloc(task->privdata, (size_t)elements * sizeof(*reply->element));
    reply->elements = (size_t)elements;
    return reply->element == NULL ? NULL : reply;
}

static void *create_integer(const redisReadTask *task, long long value) {
    redisReply *reply = create(task, REDIS_REPLY_INTEGER);
    if (reply != NULL)
        reply->integer = value;
    return reply;
}

static void *create_nil(const redisReadTask *task) {
    return create(task, REDIS_REPLY_NIL);
}

static void free_nothing(void *reply) {
    (void)reply;
}

#if HIREDIS_MAJOR >= 1
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t len) {
    (void)value, (void)text, (void)len;
    return create(task, REDIS_REPLY_DOUBLE);
}

static void *refuse_bool(const redisReadTask *task, int value) {
    (void)value;
    return create(task, REDIS_REPLY_BOOL);
}
#endif

/* hiredis only reads it, but asks for a pointer to what could be written. */
static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_nothing,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
};

void redis_parser_init(struct redis_parser *p) {
    *p = (struct redis_parser){.limit_bytes = REDIS_PARSER_LIMIT_BYTES};
    p->reader = redisReaderCreateWithFunctions(&functions);
    if (p->reader == NULL || block_new(p, BLOCK_BYTES) == NULL)
        abort(); /* a size that we chose */
    p->reader->privdata = p;
    p->reader->maxbuf = READER_KEEP_BYTES;
}

void redis_parser_fini(struct redis_parser *p) {
    redisReaderFree(p->reader);
    arena_reset(p);
    free(p->blocks);
    p->blocks = NULL;
    p->reader = NULL;
}

static bool is_too_large(const struct redis_parser *p) {
    return p->reader->err == REDIS_ERR_OOM && !p->is_foreign;
}

static int error_code(const struct redis_parser *p) {
    return is_too_large(p) ? RELAY_EOVERFLOW : RELAY_EPROTO;
}

int redis_parser_feed(struct redis_parser *p, const char *bytes, size_t len) {
    if (p->reader->err == 0 && p->reader->len - p->reader->pos + len > p->limit_bytes)
        p->reader->err = REDIS_ERR_OOM;
    if (redisReaderFeed(p->reader, bytes, len) != REDIS_OK)
        return error_code(p);
    return RELAY_OK;
}

int redis_parser_next(struct redis_parser *p, const struct redisReply **reply) {
    void *found = NULL;
    *reply = NULL;
    if (p->reader->ridx < 0) /* the last reply was complete, and its time is over */
        arena_reset(p);
    if (redisReaderGetReply(p->reader, &found) != REDIS_OK)
        return error_code(p);
    *reply = found;
    return RELAY_OK;
}

const char *redis_parser_why(const struct redis_parser *p) {
    if (p->is_foreign)
        return "a reply has a type of RESP3, which was not asked for";
    return is_too_large(p) ? "a reply is larger than the limit" : p->reader->errstr;
}

bool redis_parser_is_within(const struct redis_parser *p) {
    /* 0 is the outermost level, where the reader waits between replies too. */
    return p->reader->ridx > 0 || p->reader->pos < p->reader->len;
}
