/* The log: one line an event, to standard error; logfmt or JSON.
 *
 * The sink is the process's only global. Lines from all threads; each is one write(2), so lines
 * never mix. Nothing secret is passed in: no token, no password, no payload. */
#ifndef RELAY_BASE_LOG_H
#define RELAY_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* Set level and format before other threads start. AUTO is logfmt on a terminal, JSON lines
 * elsewhere. Before the first call: info, AUTO.
 *
 * Where standard error is the journal of systemd (JOURNAL_STREAM says so), each line begins with
 * its priority, such as <4>, which the journal takes off: `journalctl -p warning` then finds it. */
void log_init(enum log_level level, enum log_format format);

/* The level, and another one from now on. Any thread. */
enum log_level log_level(void);
void log_set_level(enum log_level level);
const char *log_level_name(enum log_level level);

/* What a line of @level that does not come from here has to begin with: "<3>" for the journal, else
 * nothing. */
const char *log_priority(enum log_level level);

/* Whether a line of @level would be written: guards work that only serves a debug line. */
bool log_enabled(enum log_level level);

/* Write a line: @message, then pairs. @fields is a printf format of `name=%conversion` pairs with
 * one space between, such as "address=%s attempt=%u"; NULL for none. Each value is quoted or
 * escaped as the format needs; conversions: d i u x c s with lengths hh h l ll z j t, and f g; a
 * precision for s f g (%.*s for text without a NUL), no flags, no width; %s of NULL is "". Text is
 * cut at about 1 KiB. errno stays as it was. */
void log_write(enum log_level level, const char *message, const char *fields, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                               \
    } while (0)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

/* Lets one line through in each @interval_ms and counts the others. Embedded, zero-initialised, one
 * thread. */
struct log_limit {
    uint64_t next_ms;    /* no line before this */
    uint64_t suppressed; /* lines held back since the last one */
};

/* True when a line may be written now; *@suppressed then says how many were held back before it. */
bool log_limit_pass(struct log_limit *limit, uint64_t now_ms, uint64_t interval_ms,
                    uint64_t *suppressed);

#endif
