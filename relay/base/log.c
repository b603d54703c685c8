/* The log; see log.h. A line is built in memory of its own and leaves in one write(2), so that
 * threads share nothing but the descriptor. */
#include "relay/base/log.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "relay/base/buf.h"
#include "relay/base/clock.h"
#include "relay/base/utf8.h"

/* A value is cut here: text may come from a peer, and a line of one page is written whole even into
 * a pipe. */
enum { VALUE_MAX_BYTES = 1024 };

static struct {
    _Atomic enum log_level level;
    enum log_format format;
    bool is_journal; /* standard error is */
} sink = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_AUTO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* The values of a line; a struct, since a va_list itself cannot be passed on by reference. */
struct args {
    va_list list;
};

/* One `name=%conversion`. */
struct field {
    const char *name;
    int name_len;
    int precision; /* -1: none */
    char length;   /* 'H' for hh, 'L' for ll, else as written; '\0': none */
    char conversion;
};

static enum log_format format_now(void) {
    if (sink.format != LOG_FORMAT_AUTO)
        return sink.format;
    return isatty(STDERR_FILENO) ? LOG_FORMAT_LOGFMT : LOG_FORMAT_JSON;
}

/* The variable holds device and inode of what systemd gave for standard error; a shell in between
 * may have redirected it since. */
static bool is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && (unsigned long long)st.st_dev == device &&
           (unsigned long long)st.st_ino == inode;
}

void log_init(enum log_level level, enum log_format format) {
    sink.level = level;
    sink.format = format;
    sink.format = format_now();
    sink.is_journal = is_journal();
}

bool log_enabled(enum log_level level) {
    return level >= atomic_load_explicit(&sink.level, memory_order_relaxed);
}

enum log_level log_level(void) {
    return sink.level;
}

void log_set_level(enum log_level level) {
    sink.level = level;
}

const char *log_level_name(enum log_level level) {
    return level_names[level];
}

const char *log_priority(enum log_level level) {
    static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>"};
    return sink.is_journal ? priorities[level] : "";
}

/* How many bytes at @s are one character that a terminal may see; 0: escape the byte. */
static size_t printable(const char *s, size_t len) {
    for (size_t n = 1; n <= 4 && n <= len; n++)
        if (utf8_valid(s, n))
            return utf8_has_control(s, n) ? 0 : n;
    return 0;
}

/* Append @s as a JSON string, which logfmt knows as well. Control characters and bytes that are no
 * UTF-8 come out as text such as \x1b, so that nobody's terminal obeys them. */
static void put_quoted(struct buf *b, const char *s, size_t len) {
    size_t limit = b->len + VALUE_MAX_BYTES;
    buf_putc(b, '"');
    for (size_t i = 0; i < len;) {
        if (b->len >= limit) {
            buf_puts(b, "...");
            break;
        }
        size_t n = printable(s + i, len - i);
        if (n == 0)
            buf_printf(b, "\\\\x%02x", (unsigned char)s[i]);
        else if (s[i] == '"' || s[i] == '\\')
            buf_printf(b, "\\%c", s[i]);
        else
            buf_append(b, s + i, n);
        i += n > 0 ? n : 1;
    }
    buf_putc(b, '"');
}

static bool is_bare(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '=' || s[i] == '\\')
            return false;
    return len > 0 && len <= VALUE_MAX_BYTES;
}

static void put_text(struct buf *b, enum log_format format, const char *s, size_t len) {
    if (format == LOG_FORMAT_LOGFMT && is_bare(s, len))
        buf_append(b, s, len);
    else
        put_quoted(b, s, len);
}

static intmax_t take_signed(struct args *args, char length) {
    switch (length) {
    case 'l':
        return va_arg(args->list, long);
    case 'L':
        return va_arg(args->list, long long);
    case 'z':
    case 't':
        return va_arg(args->list, ptrdiff_t);
    case 'j':
        return va_arg(args->list, intmax_t);
    default: /* h and hh are promoted */
        return va_arg(args->list, int);
    }
}

static uintmax_t take_unsigned(struct args *args, char length) {
    switch (length) {
    case 'l':
        return va_arg(args->list, unsigned long);
    case 'L':
        return va_arg(args->list, unsigned long long);
    case 'z':
    case 't':
        return va_arg(args->list, size_t);
    case 'j':
        return va_arg(args->list, uintmax_t);
    default:
        return va_arg(args->list, unsigned);
    }
}

static void put_double(struct buf *b, enum log_format format, const struct field *f, double value) {
    char text[400]; /* the largest double has 309 digits before its point */
    const char *conversion = f->conversion == 'f' ? "%.*f" : "%.*g";
    int precision = f->precision < 0 ? 6 : f->precision;
    int len = snprintf(text, sizeof(text), conversion, precision, value);
    if (isfinite(value) && (size_t)len < sizeof(text))
        buf_puts(b, text);
    else
        put_text(b, format, text, strlen(text));
}

static void put_string(struct buf *b, enum log_format format, const struct field *f,
                       const char *s) {
    if (s == NULL)
        s = "";
    put_text(b, format, s, f->precision < 0 ? strlen(s) : strnlen(s, (size_t)f->precision));
}

static void put_value(struct buf *b, enum log_format format, const struct field *f,
                      struct args *args) {
    char text[24];
    switch (f->conversion) {
    case 'd':
    case 'i':
        buf_printf(b, "%jd", take_signed(args, f->length));
        break;
    case 'u':
        buf_printf(b, "%ju", take_unsigned(args, f->length));
        break;
    case 'x': /* not a number to JSON */
        snprintf(text, sizeof(text), "%jx", take_unsigned(args, f->length));
        put_text(b, format, text, strlen(text));
        break;
    case 'c':
        text[0] = (char)va_arg(args->list, int);
        put_text(b, format, text, 1);
        break;
    case 's':
        put_string(b, format, f, va_arg(args->list, const char *));
        break;
    case 'f':
    case 'g':
        put_double(b, format, f, va_arg(args->list, double));
        break;
    default:
        assert(0 && "a conversion that log.h does not name");
    }
}

/* Read `.3` or `.*`. */
static int take_precision(const char **p, struct args *args) {
    int precision = 0;
    if (**p != '.')
        return -1;
    (*p)++;
    if (**p == '*') {
        (*p)++;
        return va_arg(args->list, int);
    }
    while (**p >= '0' && **p <= '9')
        precision = precision * 10 + (*(*p)++ - '0');
    return precision;
}

static char take_length(const char **p) {
    char c = **p;
    if (c == '\0' || strchr("hlzjt", c) == NULL)
        return '\0';
    (*p)++;
    if (c != **p)
        return c;
    (*p)++;
    return c == 'h' ? 'H' : 'L';
}

static void put_fields(struct buf *b, enum log_format format, const char *p, struct args *args) {
    while (*p != '\0') {
        const char *equals = strstr(p, "=%");
        assert(equals != NULL);
        struct field f = {.name = p, .name_len = (int)(equals - p)};
        p = equals + 2;
        f.precision = take_precision(&p, args);
        f.length = take_length(&p);
        f.conversion = *p++;
        buf_printf(b, format == LOG_FORMAT_JSON ? ",\"%.*s\":" : " %.*s=", f.name_len, f.name);
        put_value(b, format, &f, args);
        assert(*p == ' ' || *p == '\0');
        p += *p == ' ';
    }
}

static void put_head(struct buf *b, enum log_format format, enum log_level level,
                     const char *message) {
    uint64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    char when[32];
    gmtime_r(&seconds, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_puts(b, log_priority(level));
    buf_printf(b,
               format == LOG_FORMAT_JSON ? "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"msg\":"
                                         : "time=%s.%03uZ level=%s msg=",
               when, (unsigned)(now_ms % 1000), level_names[level]);
    put_quoted(b, message, strlen(message));
}

/* Whether a line can leave without waiting: a log that nobody reads must not stop the relay. A pipe
 * that is writable takes PIPE_BUF bytes, which a line does not exceed. */
static bool may_write(void) {
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0;
}

static void write_all(const char *p, size_t len) {
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody left to tell */
        p += n;
        len -= (size_t)n;
    }
}

/* One at a time, so that the look and the write belong together. A line that cannot leave is
 * dropped, and the next one that can says how many were. */
static void write_line(enum log_format format, const struct buf *line) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static unsigned long dropped;
    pthread_mutex_lock(&mutex);
    if (!may_write()) {
        dropped++;
    } else {
        if (dropped > 0) {
            struct buf note = BUF_INIT;
            put_head(&note, format, LOG_LEVEL_WARN, "lines were dropped: nobody read the log");
            buf_printf(&note, format == LOG_FORMAT_JSON ? ",\"lines\":%lu}\n" : " lines=%lu\n",
                       dropped);
            dropped = 0;
            write_all(note.data, note.len);
            buf_fini(&note);
        }
        write_all(line->data, line->len);
    }
    pthread_mutex_unlock(&mutex);
}

void log_write(enum log_level level, const char *message, const char *fields, ...) {
    if (!log_enabled(level))
        return;
    int saved_errno = errno; /* a line about an error must not change it */
    enum log_format format = format_now();
    struct buf line = BUF_INIT;
    put_head(&line, format, level, message);
    if (fields != NULL) {
        struct args args;
        va_start(args.list, fields);
        put_fields(&line, format, fields, &args);
        va_end(args.list);
    }
    buf_puts(&line, format == LOG_FORMAT_JSON ? "}\n" : "\n");
    write_line(format, &line);
    buf_fini(&line);
    errno = saved_errno;
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ms, uint64_t interval_ms,
                    uint64_t *suppressed) {
    if (now_ms < limit->next_ms) {
        limit->suppressed++;
        return false;
    }
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    limit->next_ms = now_ms + interval_ms;
    return true;
}
