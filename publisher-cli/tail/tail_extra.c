/* Headers and cookies of the user's; see tail_extra.h. */
#include "publisher-cli/tail/tail_extra.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "publisher-cli/base/header.h"
#include "relay/base/err.h"

enum { FILE_MAX_BYTES = 1024 * 1024 };

static const char last_event_id[] = "Last-Event-ID";

static void append(struct curl_slist **list, const char *text) {
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer == NULL)
        abort(); /* a size of the command line's, or of FILE_MAX_BYTES */
    *list = longer;
}

/* The cursor is ours from the first event on, so it is kept apart. */
static void add_header(struct tail_extra *e, const char *line) {
    if (!header_is_named(line, last_event_id)) {
        append(&e->headers, line);
        return;
    }
    const char *value = line + sizeof(last_event_id); /* behind the colon */
    value += strspn(value, " \t");
    buf_reset(&e->last_id);
    buf_puts(&e->last_id, value);
}

/* ---- files ---- */

static int fail(struct buf *why, const char *name, const char *reason) {
    buf_printf(why, "cannot read %s: %s", strcmp(name, "-") == 0 ? "standard input" : name, reason);
    return RELAY_EINVAL;
}

static int open_file(const char *name, FILE **file, struct buf *why) {
    struct stat st;
    *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
    if (*file == NULL)
        return fail(why, name, strerror(errno));
    if (fstat(fileno(*file), &st) != 0 || !S_ISDIR(st.st_mode))
        return RELAY_OK;
    fclose(*file);
    return fail(why, name, strerror(EISDIR));
}

/* All of the file; "" and a code where that cannot be. */
static int read_file(const char *name, struct buf *text, struct buf *why) {
    FILE *file;
    int status = open_file(name, &file, why);
    if (status != RELAY_OK)
        return status;
    char bytes[4096];
    size_t len = 1;
    while (len > 0 && text->len <= FILE_MAX_BYTES) {
        len = fread(bytes, 1, sizeof(bytes), file);
        buf_append(text, bytes, len);
    }
    if (ferror(file))
        status = fail(why, name, strerror(errno));
    else if (text->len > FILE_MAX_BYTES)
        status = fail(why, name, "it is longer than 1 MiB");
    if (file != stdin)
        fclose(file);
    return status;
}

static int add_lines(struct tail_extra *e, const char *name, char *text, size_t len,
                     struct buf *why) {
    char *end = text + len; /* where a NUL stands */
    unsigned number = 0;
    while (text < end) {
        char *found = memchr(text, '\n', (size_t)(end - text));
        char *stop = found != NULL ? found : end, *next = found != NULL ? found + 1 : end;
        if (stop > text && stop[-1] == '\r')
            stop--;
        number++;
        const char *wrong = header_check(text, (size_t)(stop - text));
        if (wrong != NULL && stop > text) {
            buf_printf(why, "%s:%u %s, which is \"Name: value\"",
                       strcmp(name, "-") == 0 ? "standard input" : name, number, wrong);
            return RELAY_EINVAL;
        }
        *stop = '\0';
        if (*text != '\0')
            add_header(e, text);
        text = next;
    }
    return RELAY_OK;
}

static int add_file(struct tail_extra *e, const char *name, struct buf *why) {
    struct buf text = BUF_INIT;
    int status = read_file(name, &text, why);
    if (status == RELAY_OK && text.len > 0)
        status = add_lines(e, name, text.data, text.len, why);
    buf_fini(&text);
    return status;
}

/* ---- cookies ---- */

/* libcurl would pass over a file that is not there without a word. */
static int add_cookie(struct tail_extra *e, const char *cookie, struct buf *why) {
    if (strchr(cookie, '=') != NULL) {
        buf_printf(&e->cookie, "%s%s", e->cookie.len > 0 ? "; " : "", cookie);
        return RELAY_OK;
    }
    FILE *file;
    if (strcmp(cookie, "-") == 0)
        return fail(why, cookie, "cookies are read from a file with a name");
    int status = open_file(cookie, &file, why);
    if (status != RELAY_OK)
        return status;
    fclose(file);
    append(&e->cookie_files, cookie);
    return RELAY_OK;
}

/* ---- all of it ---- */

int tail_extra_read(struct tail_extra *e, const struct options *o, struct buf *why) {
    int status = RELAY_OK;
    *e = (struct tail_extra){.headers = NULL};
    for (size_t i = 0; i < o->headers.count && status == RELAY_OK; i++) {
        const char *header = o->headers.all[i];
        if (header[0] == '@')
            status = add_file(e, header + 1, why);
        else
            add_header(e, header);
    }
    for (size_t i = 0; i < o->cookies.count && status == RELAY_OK; i++)
        status = add_cookie(e, o->cookies.all[i], why);
    return status;
}

void tail_extra_fini(struct tail_extra *e) {
    curl_slist_free_all(e->headers);
    curl_slist_free_all(e->cookie_files);
    buf_fini(&e->last_id);
    buf_fini(&e->cookie);
}
