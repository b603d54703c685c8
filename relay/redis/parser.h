/* Bytes of a Redis server to replies: hiredis's reader, with replies built in an arena.
 *
 * hiredis allocates seven or eight times for one message of a subscription, and allocates arrays
 * of the length that the peer announces. Here a reply is built in one block of memory that the next
 * reply uses again, and what one reply may take is capped. Knows no sockets and no commands.
 *
 * init/fini: embedded; one thread; must not move in between (the reader points back at it). */
#ifndef RELAY_REDIS_PARSER_H
#define RELAY_REDIS_PARSER_H

#include <stdbool.h>
#include <stddef.h>

struct redisReader;
struct redisReply;
struct redis_parser_block;

/* What one reply may take, as bytes received and as objects. Redis's own limit on the output buffer
 * of a subscriber is 32 MB by default. */
enum { REDIS_PARSER_LIMIT_BYTES = 64 * 1024 * 1024 };

struct redis_parser {
    struct redisReader *reader;
    struct redis_parser_block *blocks; /* the newest first; the oldest is kept */
    size_t used_bytes;                 /* in all blocks */
    size_t limit_bytes;                /* REDIS_PARSER_LIMIT_BYTES; tests take less */
    bool is_foreign;                   /* a type came that RESP2 does not have */
};

void redis_parser_init(struct redis_parser *p);
void redis_parser_fini(struct redis_parser *p);

/* Add @len received bytes. Returns RELAY_OK, or an error as redis_parser_next(). */
int redis_parser_feed(struct redis_parser *p, const char *bytes, size_t len);

/* Take the next complete reply: *@reply is valid until the next call, or NULL when more bytes are
 * needed. Only RESP2 types come.
 *
 * Returns RELAY_OK, or, for this and all later calls,
 *   RELAY_EPROTO     the bytes are not RESP2
 *   RELAY_EOVERFLOW  a reply is larger than the limit, or memory ran out */
int redis_parser_next(struct redis_parser *p, const struct redisReply **reply);

/* What the last error was: static, or valid until fini. */
const char *redis_parser_why(const struct redis_parser *p);

/* Whether the bytes fed so far end within a reply. */
bool redis_parser_is_within(const struct redis_parser *p);

#endif
