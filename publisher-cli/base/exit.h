/* How sse-publish ends; the same for every command. */
#ifndef PUBLISHER_CLI_BASE_EXIT_H
#define PUBLISHER_CLI_BASE_EXIT_H

enum {
    EXIT_DONE = 0,    /* all of it */
    EXIT_REFUSED = 1, /* by Redis or the relay; some events failed; something is to be changed */
    EXIT_USAGE = 2,   /* the arguments, or data that cannot be an event */
    EXIT_UNREACHABLE = 3, /* no Redis or relay, or none any more */
    EXIT_SIGNAL = 128     /* plus the number of the signal that ended it before its end */
};

#endif
