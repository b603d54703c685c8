/* The lines of several files; see files.h. */
#include "publisher-cli/input/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "publisher-cli/input/input.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

static const char standard_input[] = "standard input";
static const char byte_order_mark[] = "\xef\xbb\xbf"; /* as some editors put before UTF-8 */

enum { MARK_LEN = sizeof(byte_order_mark) - 1 };

struct files {
    struct files_options options;
    uv_loop_t *loop;
    void (*on_wake)(void *arg);
    void *arg;

    size_t index;       /* of the file that is read, or would be next */
    uint64_t passes;    /* that are over */
    struct input input; /* of that file */
    bool is_open;       /* input was started, and not yet closed */
    bool is_closing;    /* files_close() was called */
    int fd;
    off_t in_start; /* where standard input stood at first; -1: it cannot be read again */

    struct buf text;  /* read and not yet handed out, from `taken` on */
    size_t taken;     /* bytes at its beginning that were handed out */
    size_t searched;  /* bytes behind `taken` that hold no end of a line */
    bool is_skipping; /* what comes up to the next end of a line belongs to one that was too long */
    bool is_begun;    /* it was looked whether the present file begins with a mark */
    bool is_read;     /* the end of the present file was reached */
    bool is_over;     /* nothing more will come */
    struct place place;
    struct buf why; /* what cannot be read, and why */

    uint64_t total_bytes; /* of one pass; 0: not known */
    uint64_t done_bytes;  /* handed out or passed over, of all passes */
};

/* ---- the files ---- */

static size_t files_count(const struct files_options *o) {
    return o->count > 0 ? o->count : 1;
}

/* NULL: it is standard input. */
static const char *path_of(const struct files_options *o, size_t index) {
    if (o->count == 0 || strcmp(o->names[index], "-") == 0)
        return NULL;
    return o->names[index];
}

static int look_at(const struct files_options *o, size_t index, struct stat *st) {
    const char *path = path_of(o, index);
    int rc = path == NULL ? fstat(o->in_fd, st) : stat(path, st);
    if (rc == 0 && S_ISDIR(st->st_mode)) {
        errno = EISDIR;
        rc = -1;
    }
    if (rc == 0 && path != NULL)
        rc = access(path, R_OK);
    return rc;
}

int files_check(const struct files_options *o, struct buf *why) {
    for (size_t i = 0; i < files_count(o); i++) {
        struct stat st;
        const char *path = path_of(o, i);
        const char *name = path != NULL ? path : standard_input;
        if (look_at(o, i, &st) != 0) {
            buf_printf(why, "cannot read %s: %s", name, strerror(errno));
            return RELAY_EINVAL;
        }
        if (o->repeat > 1 && !S_ISREG(st.st_mode)) {
            buf_printf(why,
                       "%s is no file, and can be read only once: --repeat does not go with it",
                       name);
            return RELAY_EINVAL;
        }
    }
    return RELAY_OK;
}

/* What one pass has, where all are files. Standard input may have been read in part. */
static uint64_t measure(const struct files_options *o) {
    uint64_t total = 0;
    for (size_t i = 0; i < files_count(o); i++) {
        struct stat st;
        if (look_at(o, i, &st) != 0 || !S_ISREG(st.st_mode))
            return 0;
        total += (uint64_t)st.st_size;
    }
    return total;
}

static void fail(struct files *f, const char *why) {
    buf_printf(&f->why, "cannot read %s: %s", f->place.file, why);
    f->is_over = true;
}

static void on_read(void *arg, const char *bytes, ssize_t len) {
    struct files *f = arg;
    if (len > 0)
        buf_append(&f->text, bytes, (size_t)len);
    f->is_read = len <= 0;
    if (len < 0)
        fail(f, uv_strerror((int)len));
    input_pause(&f->input);
    f->on_wake(f->arg);
}

/* A FIFO is opened without waiting for who writes to it, which input.c then does. */
static void open_file(struct files *f) {
    const char *path = path_of(&f->options, f->index);
    f->place.file = path != NULL ? path : standard_input;
    f->place.line = 0;
    f->is_read = f->is_begun = false;
    f->fd = path == NULL ? f->options.in_fd : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (f->fd < 0) {
        fail(f, strerror(errno));
        return;
    }
    if (path == NULL && f->passes > 0 && lseek(f->fd, f->in_start, SEEK_SET) < 0) {
        fail(f, strerror(errno));
        return;
    }
    input_start(&f->input, f->loop, f->fd, on_read, f);
    f->is_open = true;
}

static void free_all(struct files *f) {
    buf_fini(&f->text);
    buf_fini(&f->why);
    free(f);
}

static void on_file_closed(void *arg) {
    struct files *f = arg;
    f->is_open = false;
    if (path_of(&f->options, f->index) != NULL)
        close(f->fd);
    if (f->is_closing) {
        free_all(f);
        return;
    }
    if (++f->index == files_count(&f->options)) {
        f->index = 0;
        f->passes++;
    }
    f->is_over = f->passes == f->options.repeat;
    if (!f->is_over)
        open_file(f);
    f->on_wake(f->arg);
}

/* ---- the lines ---- */

static void take(struct files *f, size_t len) {
    f->taken += len;
    f->searched = 0;
    f->done_bytes += len;
}

/* Hand out the line whose text is @len bytes and whose end is @end_len more. False where it is
 * passed over. */
static bool hand_out(struct files *f, const char *text, size_t len, size_t end_len,
                     struct files_line *line) {
    take(f, len + end_len);
    f->place.line++;
    f->place.number++;
    if (end_len > 0 && len > 0 && text[len - 1] == '\r')
        len--;
    *line = (struct files_line){.text = text, .len = len, .place = f->place};
    return f->place.number >= f->options.first;
}

enum step { STEP_LINE, STEP_AGAIN, STEP_READ };

/* Take the mark off the beginning of a file. It is no part of a line, and there may be less than
 * its bytes so far. */
static enum step pass_mark(struct files *f, const char *text, size_t len) {
    size_t seen = len < MARK_LEN ? len : MARK_LEN;
    bool may_be_mark = memcmp(text, byte_order_mark, seen) == 0;
    if (may_be_mark && seen < MARK_LEN && !f->is_read)
        return STEP_READ;
    f->is_begun = true;
    if (may_be_mark && seen == MARK_LEN)
        take(f, MARK_LEN);
    return STEP_AGAIN;
}

/* One step forward through what was read. */
static enum step step(struct files *f, struct files_line *line) {
    const char *text = f->text.len == 0 ? "" : f->text.data + f->taken;
    size_t len = f->text.len - f->taken;
    if (!f->is_begun)
        return pass_mark(f, text, len);
    const char *end =
        f->searched < len ? memchr(text + f->searched, '\n', len - f->searched) : NULL;
    size_t line_len = end != NULL ? (size_t)(end - text) : len;
    f->searched = end != NULL ? f->searched : len;
    if (f->is_skipping) {
        f->is_skipping = end == NULL && !f->is_read;
        take(f, end != NULL ? line_len + 1 : len);
        return end != NULL ? STEP_AGAIN : STEP_READ;
    }
    if (line_len > f->options.limit_bytes + 1) { /* a CR may belong to the end */
        f->is_skipping = end == NULL && !f->is_read;
        return hand_out(f, text, line_len, end != NULL, line) ? STEP_LINE : STEP_AGAIN;
    }
    if (end == NULL && (len == 0 || !f->is_read || f->why.len > 0)) /* no half of a line */
        return STEP_READ;
    return hand_out(f, text, line_len, end != NULL, line) ? STEP_LINE : STEP_AGAIN;
}

/* What was handed out goes, the rest of a line stays. */
static enum files_state read_on(struct files *f) {
    if (f->taken > 0)
        buf_consume(&f->text, f->taken);
    f->taken = 0;
    if (!f->is_read)
        input_resume(&f->input);
    else if (!f->is_closing && !uv_is_closing(&f->input.in.handle))
        input_close(&f->input, on_file_closed);
    return FILES_WAIT;
}

enum files_state files_next(struct files *f, struct files_line *line) {
    enum step made = STEP_AGAIN;
    *line = (struct files_line){.text = ""};
    while (made == STEP_AGAIN && (f->is_open || f->text.len > f->taken))
        made = step(f, line);
    if (made == STEP_LINE)
        return line->len > f->options.limit_bytes ? FILES_TOO_LONG : FILES_LINE;
    if (f->why.len > 0) {
        line->why = f->why.data;
        line->place = f->place;
        return FILES_FAILED;
    }
    line->place = f->place;
    return f->is_over ? FILES_END : read_on(f);
}

double files_done(const struct files *f) {
    if (f->total_bytes == 0)
        return -1;
    return (double)f->done_bytes / ((double)f->total_bytes * (double)f->options.repeat);
}

struct files *files_new(uv_loop_t *loop, const struct files_options *o, void (*on_wake)(void *),
                        void *arg) {
    struct files *f = mem_zalloc(sizeof(*f));
    f->options = *o;
    f->loop = loop;
    f->on_wake = on_wake;
    f->arg = arg;
    f->in_start = lseek(o->in_fd, 0, SEEK_CUR);
    f->total_bytes = measure(o);
    open_file(f);
    return f;
}

void files_close(struct files *f) {
    if (f->is_closing)
        return;
    f->is_closing = true;
    if (!f->is_open)
        free_all(f);
    else if (!uv_is_closing(&f->input.in.handle))
        input_close(&f->input, on_file_closed);
}
