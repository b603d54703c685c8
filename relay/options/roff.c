/* Manual pages in roff; see roff.h. */
#include "relay/options/roff.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { LINE_WIDTH = 72 };

/* At the beginning of a line these two would make it a request to roff. */
static void put_guard(struct buf *out, char c) {
    if (c == '.' || c == '\'')
        buf_puts(out, "\\&");
}

/* What roff would turn into something that cannot be typed. */
static void put_char(struct buf *out, char c, bool is_literal) {
    if (c == '\\')
        buf_puts(out, "\\e");
    else if (is_literal && c == '-')
        buf_puts(out, "\\-");
    else if (is_literal && c == '\'')
        buf_puts(out, "\\(aq");
    else if (is_literal && c == '^')
        buf_puts(out, "\\(ha");
    else if (is_literal && c == '~')
        buf_puts(out, "\\(ti");
    else
        buf_putc(out, c);
}

static void put_literal(struct buf *out, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        put_char(out, text[i], true);
}

static void end_line(struct buf *out) {
    if (out->len > 0 && out->data[out->len - 1] != '\n')
        buf_putc(out, '\n');
}

void roff_put_head(struct buf *out, const char *program, int section, const char *date,
                   const char *version) {
    buf_puts(out, ".TH ");
    for (const char *c = program; *c != '\0'; c++)
        put_char(out, (char)toupper((unsigned char)*c), true);
    buf_printf(out, " %d %s \"%s %s\" \"%s\"\n", section, date, program, version,
               section == 8 ? "System Administration" : "User Commands");
    buf_puts(out, ".nh\n.ad l\n"); /* what is typed is neither divided nor stretched */
}

void roff_put_section(struct buf *out, const char *title) {
    end_line(out);
    buf_printf(out, ".SH %s\n", title);
}

void roff_put_subsection(struct buf *out, const char *title) {
    end_line(out);
    buf_printf(out, ".SS %s\n", title);
}

void roff_put_paragraph(struct buf *out) {
    end_line(out);
    buf_puts(out, ".PP\n");
}

/* The length of the next word, with the blanks that stand between its backquotes. */
static size_t word_length(const char *text) {
    bool is_literal = false;
    size_t len = 0;
    for (; text[len] != '\0'; len++) {
        if (text[len] == '`')
            is_literal = !is_literal;
        else if (!is_literal && isspace((unsigned char)text[len]))
            break;
    }
    return len;
}

static void put_word(struct buf *out, const char *word, size_t len) {
    bool is_literal = false;
    put_guard(out, word[0]); /* its line is not known yet */
    for (size_t i = 0; i < len; i++) {
        if (word[i] != '`') {
            put_char(out, word[i], is_literal);
            continue;
        }
        is_literal = !is_literal;
        buf_puts(out, is_literal ? "\\fB" : "\\fP");
    }
}

/* Skip what stands between two words; returns whether there is an empty line in it. */
static bool skip_blanks(const char **text) {
    int lines = 0;
    for (; isspace((unsigned char)**text); (*text)++)
        lines += **text == '\n';
    return lines > 1;
}

void roff_put_text(struct buf *out, const char *text) {
    size_t begin = out->len; /* of the line */
    skip_blanks(&text);
    while (*text != '\0') {
        size_t len = word_length(text), word = out->len;
        if (word > begin)
            buf_putc(out, ' ');
        put_word(out, text, len);
        if (word > begin && out->len - begin > LINE_WIDTH) {
            out->data[word] = '\n';
            begin = word + 1;
        }
        text += len;
        if (!skip_blanks(&text) || *text == '\0')
            continue;
        buf_puts(out, "\n.sp\n");
        begin = out->len;
    }
    end_line(out);
}

/* ---- synopses ---- */

static bool is_placeholder(char c) {
    return isupper((unsigned char)c) != 0 || c == '_';
}

/* The length of what begins at @text and has one font, and that font. */
static size_t span(const char *text, bool begins_word, const char **font) {
    size_t capitals = 0;
    while (is_placeholder(text[capitals]))
        capitals++;
    *font = NULL;
    if (begins_word && text[0] == '-') {
        *font = "\\fB";
        return strcspn(text, " ,]|=");
    }
    if (capitals > 0)
        *font = "\\fI";
    return capitals > 0 ? capitals : 1;
}

static void put_synopsis(struct buf *out, const char *text) {
    bool begins_word = true;
    while (*text != '\0') {
        const char *font;
        size_t len = *text == '`' ? strcspn(text + 1, "`") : span(text, begins_word, &font);
        bool is_quoted = *text == '`';
        font = is_quoted ? "\\fB" : font;
        text += is_quoted;
        buf_puts(out, font != NULL ? font : "");
        put_literal(out, text, len);
        buf_puts(out, font != NULL ? "\\fP" : "");
        text += len;
        begins_word = text[-1] == ' ' || text[-1] == '[';
        text += is_quoted;
    }
}

void roff_put_entry(struct buf *out, const char *term) {
    end_line(out);
    buf_puts(out, ".TP\n");
    put_synopsis(out, term);
    buf_putc(out, '\n');
}

void roff_put_synopsis(struct buf *out, const char *program, const char *rest) {
    end_line(out);
    buf_puts(out, "\\fB");
    put_literal(out, program, strlen(program));
    buf_puts(out, "\\fP ");
    put_synopsis(out, rest);
    buf_putc(out, '\n');
}

void roff_put_example(struct buf *out, const char *lines) {
    end_line(out);
    buf_puts(out, ".RS 4\n.nf\n");
    for (char before = '\n'; *lines != '\0'; before = *lines++) {
        if (before == '\n')
            put_guard(out, *lines);
        put_char(out, *lines, true);
    }
    end_line(out);
    buf_puts(out, ".fi\n.RE\n");
}
