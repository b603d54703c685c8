/* Manual pages in roff, with the macros of man(7) that every system knows.
 *
 * What is given is plain text, in which `words between backquotes` are to be typed as they are; no
 * byte of it has a meaning to roff. Pure; any thread. */
#ifndef RELAY_OPTIONS_ROFF_H
#define RELAY_OPTIONS_ROFF_H

#include "relay/base/buf.h"

/* The head of the page of @program in @section: 1 for commands, 8 for daemons. @date: 2026-11-25.
 */
void roff_put_head(struct buf *out, const char *program, int section, const char *date,
                   const char *version);

void roff_put_section(struct buf *out, const char *title);
void roff_put_subsection(struct buf *out, const char *title);

/* A text, filled; an empty line in it begins a paragraph, which is indented as the one before. */
void roff_put_text(struct buf *out, const char *text);

/* A paragraph without indentation begins. */
void roff_put_paragraph(struct buf *out);

/* An entry of a list begins: its term, and what is put behind it is indented. A term is as a
 * synopsis. */
void roff_put_entry(struct buf *out, const char *term);

/* A line of a synopsis: what begins with - or stands between backquotes is to be typed, words in
 * capitals stand for others. */
void roff_put_synopsis(struct buf *out, const char *program, const char *rest);

/* Lines of a shell, as they are, indented. */
void roff_put_example(struct buf *out, const char *lines);

#endif
