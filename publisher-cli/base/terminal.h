/* What people see: complaints, and colours where there are people.
 *
 * Whatever a command has to say beside its result goes to its `err` through complain(), so that
 * standard output holds results alone. */
#ifndef PUBLISHER_CLI_BASE_TERMINAL_H
#define PUBLISHER_CLI_BASE_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "relay/base/buf.h"

enum colour {
    COLOUR_NONE, /* and back to it */
    COLOUR_BOLD,
    COLOUR_DIM,
    COLOUR_RED,
    COLOUR_GREEN,
    COLOUR_YELLOW,
    COLOUR_CYAN
};

/* Write "sse-publish: ", the sentence and a line feed to @err. */
void complain(FILE *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "" for one, "s" for any other number. */
const char *plural(unsigned long long n);

bool terminal_is(FILE *file);

/* Whether @file is a terminal that wants colours: not where NO_COLOR is set (https://no-color.org),
 * nor where TERM is dumb. */
bool terminal_has_colours(FILE *file);

/* What switches to @colour; "" where @has_colours is false. Static storage. */
const char *terminal_colour(bool has_colours, enum colour colour);

/* Append @text, of whoever is at the other end, without anything that acts on a terminal. */
void terminal_put_shown(struct buf *to, const char *text, size_t len);

#endif
