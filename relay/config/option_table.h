/* The table of options, and what its columns mean: reading a value, printing it, naming it.
 *
 * For config*.c and their tests alone; everybody else reads struct config. Pure; any thread. */
#ifndef RELAY_CONFIG_OPTION_TABLE_H
#define RELAY_CONFIG_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/config/config.h"
#include "relay/options/completion.h"

/* Before the name of an option in the environment. */
#define CONFIG_ENV_PREFIX "SSE_RELAY_"

enum option_kind {
    OPTION_ACTION,    /* --help and its like: on the command line only; a value if it has choices */
    OPTION_BOOL,      /* bool */
    OPTION_INTEGER,   /* unsigned */
    OPTION_DURATION,  /* uint64_t, milliseconds */
    OPTION_SIZE,      /* size_t, bytes */
    OPTION_ENUM,      /* an enum, whose values are the indexes of `choices` */
    OPTION_STRING,    /* char * */
    OPTION_STRINGS,   /* struct config_strings */
    OPTION_ADDRESS,   /* struct listen_address */
    OPTION_ADDRESSES, /* struct config_addresses */
};

enum option_action {
    ACTION_NONE,
    ACTION_HELP,
    ACTION_GENERATE,
    ACTION_VERSION,
    ACTION_CHECK,
    ACTION_PRINT,
    ACTION_HEALTH,
    ACTION_READY
};

/* Where a value came from; a higher one wins. */
enum option_source { FROM_NOWHERE, FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_COMMAND_LINE };

struct option {
    const char *group; /* the heading that begins with it, or NULL */
    const char *name;  /* without the dashes: "max-age" */
    enum option_kind kind;
    size_t offset;              /* of its field in struct config */
    const char *argument;       /* what the help calls the value: "HOST:PORT" */
    const char *fallback;       /* the default, as it would be written; NULL: none */
    uint64_t min, max;          /* of numbers, in the unit of the field */
    const char *zero_means;     /* of numbers: 0 is allowed besides the range, and means this */
    const char *form;           /* of texts: what is allowed */
    const char *const *choices; /* of enums, ends with NULL */
    /* Of texts: NULL, or what is wrong with @value; may put it into its one written form. */
    const char *(*check)(char *value);
    enum option_action action;
    bool secret;      /* the value may hold a password */
    bool not_in_file; /* --config itself */
    bool
        not_empty; /* of lists: a text without anything in it is a mistake, and not an empty list */
    bool is_reloaded; /* SIGHUP changes it; all others need a restart */
    const char *help;
};

/* All options, grouped, in the order of the help. */
const struct option *option_table(size_t *len);

bool option_is_list(const struct option *o);

/* Read @text into the option's field of @c, or append it to a list.
 * Returns NULL, or what is wrong ("is out of range"; static storage) and @c is unchanged. */
const char *option_read(const struct option *o, const char *text, struct config *c);

/* Whether two configurations agree in it, its secrets included. */
bool option_equal(const struct option *o, const struct config *a, const struct config *b);

/* Free the field and zero it. */
void option_clear(const struct option *o, struct config *c);

/* Append what the option allows: "100ms to 1h". */
void option_put_allowed(const struct option *o, struct buf *out);

/* Append the option's value in @c as JSON, without a secret. False, and nothing appended, where
 * there is none. */
bool option_put_json(const struct option *o, const struct config *c, struct buf *out);

/* Append @text with the passwords of URLs hidden; @secret hides more where a password might be. */
void option_put_redacted(const char *text, bool secret, struct buf *out);

/* Append an option's name as @source writes it: --max-age, SSE_RELAY_MAX_AGE, max_age. */
void option_put_name(const struct option *o, enum option_source source, struct buf *out);

/* The option that @source calls @name (all of it: "--max-age"), or NULL. */
const struct option *option_find(const char *name, enum option_source source);

/* The option of @source that may have been meant by @name, or NULL. */
const struct option *option_suggest(const char *name, enum option_source source);

/* The help (for a terminal), and the reference page (Markdown, relay/config/OPTIONS.md). */
void config_put_help(struct buf *out);
void config_put_reference(struct buf *out);

/* The manual page sse-relay(8), in roff; and any of the files that are made from the table. */
void config_put_manual(struct buf *out);
void config_put_generated(enum generated what, struct buf *out);

/* Append the default as the help tells it. False, and nothing, where there is none. */
bool option_put_default(const struct option *o, struct buf *out);

/* The index of @text among the option's choices, or -1. */
int option_choice(const struct option *o, const char *text);

/* One value of a file, as text. @element: it stood in an array, and commas in it mean nothing;
 * @text is then NULL for an array without elements. Returns false to stop. */
typedef bool (*config_set_fn)(void *arg, const char *key, const char *text, bool element);

/* Read the JSON file @path and hand each value to @set, in the file's order.
 *
 * Returns RELAY_OK, or RELAY_EINVAL: @set returned false, or @why got what is wrong with the file,
 * to be put behind its name (" cannot be read: ..."). */
int config_read_file(const char *path, config_set_fn set, void *arg, struct buf *why);

#endif
