/* Complaints and colours; see terminal.h. */
#include "publisher-cli/base/terminal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void complain(FILE *err, const char *format, ...) {
    bool has_colours = terminal_has_colours(err);
    va_list args;
    va_start(args, format);
    fprintf(err, "%ssse-publish:%s ", terminal_colour(has_colours, COLOUR_BOLD),
            terminal_colour(has_colours, COLOUR_NONE));
    vfprintf(err, format, args);
    fputc('\n', err);
    va_end(args);
}

const char *plural(unsigned long long n) {
    return n == 1 ? "" : "s";
}

/* A FILE need not have a descriptor: that of open_memstream() has none. */
bool terminal_is(FILE *file) {
    int fd = fileno(file);
    return fd >= 0 && isatty(fd) == 1;
}

bool terminal_has_colours(FILE *file) {
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    if (no_color != NULL && *no_color != '\0')
        return false;
    return term != NULL && strcmp(term, "dumb") != 0 && terminal_is(file);
}

const char *terminal_colour(bool has_colours, enum colour colour) {
    static const char *const escapes[] = {
        [COLOUR_NONE] = "\033[0m", [COLOUR_BOLD] = "\033[1m",   [COLOUR_DIM] = "\033[2m",
        [COLOUR_RED] = "\033[31m", [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
        [COLOUR_CYAN] = "\033[36m"};
    return has_colours ? escapes[colour] : "";
}

void terminal_put_shown(struct buf *to, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_c1 = c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0;
        if (is_c1) /* U+0080 and up to U+009F are ESC and the letter at that place */
            buf_printf(to, "^[%c", (unsigned char)text[++i] - 0x40);
        else if (c != '\t' && (c < 0x20 || c == 0x7f))
            buf_printf(to, "^%c", c ^ 0x40);
        else
            buf_putc(to, (char)c);
    }
}
