/* The type of a reply, as hiredis parses it: the one thing of hiredis that the bus sees. */
#ifndef RELAY_REDIS_REPLY_H
#define RELAY_REDIS_REPLY_H

#include <hiredis/hiredis.h>

#endif
