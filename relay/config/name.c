/* How each source writes an option's name, and finding an option by it; see table.h. */
#include <ctype.h>
#include <string.h>

#include "relay/config/option_table.h"
#include "relay/options/suggest.h"

static const char env_prefix[] = CONFIG_ENV_PREFIX;

enum { NAME_LIMIT = 40 }; /* longer than any name: nothing is near to what is longer */

static char written_as(char c, enum option_source source) {
    if (source == FROM_COMMAND_LINE)
        return c;
    if (c == '-')
        return '_';
    return source == FROM_ENVIRONMENT ? (char)toupper((unsigned char)c) : c;
}

void option_put_name(const struct option *o, enum option_source source, struct buf *out) {
    buf_puts(out, source == FROM_COMMAND_LINE  ? "--"
                  : source == FROM_ENVIRONMENT ? env_prefix
                                               : "");
    for (const char *c = o->name; *c != '\0'; c++)
        buf_putc(out, written_as(*c, source));
}

static bool may_come_from(const struct option *o, enum option_source source) {
    if (source == FROM_COMMAND_LINE)
        return true;
    return o->kind != OPTION_ACTION && !(source == FROM_FILE && o->not_in_file);
}

const struct option *option_find(const char *name, enum option_source source) {
    size_t len;
    const struct option *found = NULL;
    const struct option *table = option_table(&len);
    struct buf written = BUF_INIT;
    for (const struct option *o = table; found == NULL && o < table + len; o++) {
        buf_reset(&written);
        option_put_name(o, source, &written);
        if (may_come_from(o, source) && strcmp(written.data, name) == 0)
            found = o;
    }
    buf_fini(&written);
    return found;
}

/* Bring @name, from whatever source, into the form of the table. False: it is too long. */
static bool normalise(const char *name, char out[NAME_LIMIT]) {
    if (strncmp(name, env_prefix, strlen(env_prefix)) == 0)
        name += strlen(env_prefix);
    name += strspn(name, "-");
    size_t len = strlen(name);
    if (len >= NAME_LIMIT)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    return true;
}

const struct option *option_suggest(const char *name, enum option_source source) {
    char wanted[NAME_LIMIT];
    size_t len;
    struct suggestion suggestion;
    const struct option *nearest = NULL;
    const struct option *table = option_table(&len);
    if (!normalise(name, wanted))
        return NULL;
    suggest_init(&suggestion, wanted);
    for (const struct option *o = table; o < table + len; o++)
        if (may_come_from(o, source) && suggest_try(&suggestion, o->name))
            nearest = o;
    return nearest;
}
