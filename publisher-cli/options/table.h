/* The commands and the options of sse-publish, one table each: what is parsed, and what is said
 * about it anywhere, comes from these rows.
 *
 * A further command is a row in commands.c, and its name in the `commands` of the options that it
 * takes, in table.c. An option that no command takes does not exist. */
#ifndef PUBLISHER_CLI_OPTIONS_TABLE_H
#define PUBLISHER_CLI_OPTIONS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

/* What the words of a command are, those that are no options. */
enum words {
    WORDS_PUBLISH, /* TOPIC [DATA], or TOPIC [FILE]..., as options.c reads them */
    WORDS_TOPICS,
    WORDS_PATTERN, /* of topics: at most one, where `*` stands for anything */
    WORDS_FILES,
    WORDS_COMMAND, /* of help */
    WORDS_NONE
};

struct example {
    const char *line;
    const char *meaning;
};

enum { SYNOPSES_MAX = 4, EXAMPLES_MAX = 8 };

struct command_row {
    enum command command;
    const char *name;
    const char *synopses[SYNOPSES_MAX]; /* what stands behind the name, or in its place */
    const char *summary;                /* for a list */
    const char *prose;                  /* paragraphs, separated by empty lines */
    struct example examples[EXAMPLES_MAX];
    size_t examples_common; /* how many of them, from the first on, the overview shows */
    enum words words;
    size_t words_min, words_max; /* of WORDS_TOPICS and WORDS_FILES */
    const char *topic;           /* where none is given; NULL: one must be */
    uint64_t every_ms;           /* its defaults */
    uint64_t history;
    /* Does it, leaves nothing in @loop, returns the exit code. NULL: main() does it. */
    int (*run)(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);
};

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_REDIS,  /* struct redis_url */
    OPTION_TOPIC,  /* one more of the topics */
    OPTION_TEXTS,  /* one more of struct texts */
    OPTION_NUMBER, /* an unsigned integer */
    OPTION_TIME,   /* the same, in milliseconds */
    OPTION_RATE,   /* double, a second */
    OPTION_FACTOR, /* double */
    OPTION_CHOICE, /* an enum, whose values are the indexes of `choices` */
    OPTION_INPUT,  /* a flag that sets options.input to `min` */
    OPTION_ACTION  /* a flag that makes `min` the command */
};

struct option_row {
    const char *group; /* the heading that begins with it, or NULL */
    const char *name;
    char letter;          /* 0: no short form */
    const char *value;    /* what the help calls it; NULL: it takes none */
    const char *help;     /* for a list: a line */
    const char *more;     /* for the manual: sentences; or NULL */
    const char *fallback; /* the default, as it would be written; NULL: none */
    const char *env;      /* the variable that gives it where the arguments do not, or NULL */
    unsigned commands;    /* that take it: TAKEN_BY() of each */
    enum option_kind kind;
    size_t offset, size; /* of its field in struct options */
    uint64_t min, max;
    const char *allowed; /* in words */
    const char *const *choices;
    const char *(*check)(const char *text); /* NULL, or what is wrong with a text */
    bool is_secret;                         /* its value is not repeated */
    bool is_common;                         /* the overview shows it */
};

/* The exit codes, as the manual says them; a NULL code ends them. */
struct exit_row {
    const char *code;
    const char *meaning;
};

#define TAKEN_BY(command) (1U << (command))

/* All rows, in the order of the help. */
const struct command_row *command_rows(size_t *len);
const struct option_row *option_rows(size_t *len);

const struct exit_row *exit_rows(void);

/* The row, or NULL. */
const struct command_row *command_row_named(const char *name);
/* The command that was probably meant by @name, or NULL. */
const struct command_row *command_row_near(const char *name);
const struct command_row *command_row_of(enum command command);

/* Whether there is an @option at all, since some command takes it; and whether @command does. */
bool option_row_exists(const struct option_row *option);
bool option_row_is_taken(const struct option_row *option, enum command command);

/* The option --@name of @command; where it takes none of that name, that of another; or NULL. */
const struct option_row *option_row_named(const char *name, size_t len, enum command command);
const struct option_row *option_row_lettered(char letter);

/* The option that was probably meant by --@name, or NULL. */
const struct option_row *option_row_suggest(const char *name);

/* Append "--name VALUE". */
void option_row_put_name(const struct option_row *option, struct buf *out);

/* Read @text into the option's field of @o; not for the kinds that are flags or topics.
 *
 * Returns NULL, or what is wrong ("is out of range"; static storage) and @o is unchanged. */
const char *option_row_read(const struct option_row *option, const char *text, struct options *o);

#endif
