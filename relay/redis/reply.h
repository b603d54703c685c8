/* A reply of Redis, for those who get one: hiredis's struct redisReply.
 *
 * type is REDIS_REPLY_STRING, _STATUS, _ERROR (text in str, len), _INTEGER (integer), _NIL or
 * _ARRAY (elements, element[]). Replies are built by relay/redis/parser.h and die when the callback
 * that got them returns: never free one, copy what must stay. */
#ifndef RELAY_REDIS_REPLY_H
#define RELAY_REDIS_REPLY_H

#include <hiredis.h>

#endif
