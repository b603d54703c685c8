/* Completions of a command line for bash, zsh and fish, from a description of what it takes.
 *
 * The first word of a program with commands may be one of them; where it is none, or there is none,
 * options and words are those of the first command in the list. Pure; any thread. */
#ifndef RELAY_OPTIONS_COMPLETION_H
#define RELAY_OPTIONS_COMPLETION_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"

struct completion_option {
    const char *name;  /* without the dashes */
    char letter;       /* 0: no short form */
    const char *value; /* what it is called; NULL: it takes none */
    const char *help;
    const char *const *choices; /* its values, NULL behind the last; or NULL */
    bool is_file;               /* the value is the name of a file */
    bool brings_files;          /* where it is given, words are the names of files */
    unsigned commands;          /* bits: the index of each command that takes it */
};

enum completion_words { COMPLETION_NOTHING, COMPLETION_FILES, COMPLETION_COMMANDS };

struct completion_command {
    const char *name;
    const char *help;
    enum completion_words words; /* what stands behind it */
};

struct completion_program {
    const char *name;
    const char *how; /* the command that writes the file, but for the name of the shell */
    const struct completion_option *options;
    size_t options_count;
    const struct completion_command *commands; /* none: a program without commands */
    size_t commands_count;
};

enum completion_shell { COMPLETION_BASH, COMPLETION_ZSH, COMPLETION_FISH };

/* What --generate prints. The list of its words begins with GENERATED_WORDS, in the order of these.
 */
enum generated {
    GENERATE_MAN,
    GENERATE_BASH,
    GENERATE_ZSH,
    GENERATE_FISH,
    GENERATE_MARKDOWN /* of the relay alone */
};
#define GENERATED_WORDS "man", "bash", "zsh", "fish"

/* Append the completion that --generate names. False: it names something else. */
bool completion_put_generated(struct buf *out, enum generated what,
                              const struct completion_program *p);

void completion_put(struct buf *out, enum completion_shell shell,
                    const struct completion_program *p);

#endif
