/* The log. Standard error is a datagram socket here, where each write(2) arrives on its own. */
#include "relay/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "relay/base/buf.h"
#include "relay/base/clock.h"
#include "relay/base/utf8.h"
#include "tests/unit/unit.h"

enum { LINE_MAX_BYTES = 16384 };

struct capture {
    int saved_stderr;
    int reader;
    char line[LINE_MAX_BYTES]; /* the last one */
};

static int capture_start(void **state) {
    struct capture *c = calloc(1, sizeof(*c));
    int pair[2];
    if (c == NULL || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0)
        return -1;
    c->saved_stderr = dup(STDERR_FILENO);
    c->reader = pair[0];
    dup2(pair[1], STDERR_FILENO);
    close(pair[1]);
    *state = c;
    return 0;
}

static int capture_stop(void **state) {
    struct capture *c = *state;
    dup2(c->saved_stderr, STDERR_FILENO);
    close(c->saved_stderr);
    close(c->reader);
    free(c);
    return 0;
}

/* What was written next, which must be one line, without its end. */
static const char *next_line(struct capture *c) {
    ssize_t n = recv(c->reader, c->line, sizeof(c->line) - 1, MSG_DONTWAIT);
    assert_true(n > 0);
    c->line[n] = '\0';
    assert_int_equal(strcspn(c->line, "\n"), n - 1);
    c->line[n - 1] = '\0';
    return c->line;
}

static void assert_no_line(struct capture *c) {
    assert_int_equal(recv(c->reader, c->line, sizeof(c->line), MSG_DONTWAIT), -1);
}

static json_t *next_json(struct capture *c) {
    json_t *line = json_loads(next_line(c), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(line);
    return line;
}

static const char *text_of(const json_t *line, const char *name) {
    const char *text = json_string_value(json_object_get(line, name));
    assert_non_null(text);
    return text;
}

/* Runs first, before any log_init(). */
static void without_init_it_is_info_and_json_where_no_terminal_is(void **state) {
    struct capture *c = *state;
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    log_debug("not this", NULL);
    log_info("this", NULL);
    json_t *line = next_json(c);
    assert_string_equal(text_of(line, "msg"), "this");
    assert_string_equal(text_of(line, "level"), "info");
    json_decref(line);
    assert_no_line(c);
}

static void a_level_silences_those_below_it(void **state) {
    struct capture *c = *state;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (enum log_level level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
        log_init(level, LOG_FORMAT_JSON);
        log_debug("m", NULL);
        log_info("m", NULL);
        log_warn("m", NULL);
        log_error("m", NULL);
        for (int i = (int)level; i <= (int)LOG_LEVEL_ERROR; i++) {
            json_t *line = next_json(c);
            assert_string_equal(text_of(line, "level"), names[i]);
            json_decref(line);
        }
        assert_no_line(c);
    }
}

static int counted(int *calls) {
    return ++*calls;
}

static void a_silent_debug_line_costs_no_arguments(void **state) {
    struct capture *c = *state;
    int calls = 0;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_debug("m", "n=%d", counted(&calls));
    assert_int_equal(calls, 0);
    assert_no_line(c);
    log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    log_debug("m", "n=%d", counted(&calls));
    assert_int_equal(calls, 1);
    json_decref(next_json(c));
}

static void logfmt_is_pairs(void **state) {
    struct capture *c = *state;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    log_warn("it said no", "address=%s attempt=%u", "127.0.0.1:6379", 3u);
    const char *line = next_line(c);
    unsigned y, mon, d, h, min, s, ms;
    int end = 0;
    assert_int_equal(
        sscanf(line, "time=%4u-%2u-%2uT%2u:%2u:%2u.%3uZ%n", &y, &mon, &d, &h, &min, &s, &ms, &end),
        7);
    assert_int_equal(end, strlen("time=2026-11-21T11:42:04.123Z"));
    assert_string_equal(line + end,
                        " level=warn msg=\"it said no\" address=127.0.0.1:6379 attempt=3");
}

static void the_time_is_now_in_utc(void **state) {
    struct capture *c = *state;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    uint64_t before = clock_wall_ms();
    log_info("m", NULL);
    uint64_t after = clock_wall_ms();
    json_t *line = next_json(c);
    struct tm tm = {0};
    const char *rest = strptime(text_of(line, "time"), "%Y-%m-%dT%H:%M:%S", &tm);
    assert_non_null(rest);
    uint64_t ms = (uint64_t)timegm(&tm) * 1000 + strtoul(rest + 1, NULL, 10);
    assert_in_range(ms, before, after);
    json_decref(line);
}

static void logfmt_quotes_what_is_not_one_word(void **state) {
    struct capture *c = *state;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    log_info("m", "a=%s b=%s c=%s d=%s e=%s f=%s g=%s", "plain/1.0", "two words", "", "k=v",
             "say \"hi\"", "back\\slash", "gr\xc3\xbc\xc3\x9f");
    assert_non_null(strstr(next_line(c), " a=plain/1.0 b=\"two words\" c=\"\" d=\"k=v\""
                                         " e=\"say \\\"hi\\\"\" f=\"back\\\\slash\""
                                         " g=\"gr\xc3\xbc\xc3\x9f\""));
}

static void json_writes_numbers_as_numbers(void **state) {
    struct capture *c = *state;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_info("m", "d=%d i=%i u=%u ld=%ld lld=%lld lu=%lu z=%zu j=%jd t=%td h=%hd hh=%hhu", -1, 2,
             4000000000u, LONG_MIN, -5LL, 6UL, (size_t)7, (intmax_t)8, (ptrdiff_t)-9, (short)-10,
             (unsigned char)200);
    json_t *line = next_json(c);
    static const struct {
        const char *name;
        json_int_t value;
    } expected[] = {{"d", -1},   {"i", 2},   {"u", 4000000000}, {"ld", LONG_MIN},
                    {"lld", -5}, {"lu", 6},  {"z", 7},          {"j", 8},
                    {"t", -9},   {"h", -10}, {"hh", 200}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const json_t *value = json_object_get(line, expected[i].name);
        assert_true(json_is_integer(value));
        assert_true(json_integer_value(value) == expected[i].value);
    }
    json_decref(line);
}

static void the_largest_number_keeps_its_digits(void **state) {
    struct capture *c = *state;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    log_info("m", "a=%" PRIu64 " b=%" PRId64, UINT64_MAX, INT64_MIN);
    assert_non_null(strstr(next_line(c), " a=18446744073709551615 b=-9223372036854775808"));
}

static void fractions_are_numbers_unless_they_are_none(void **state) {
    struct capture *c = *state;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_info("m", "f=%.3f g=%g big=%f inf=%f nan=%g", 1.5, 0.25, 1e300, INFINITY, NAN);
    assert_non_null(strstr(next_line(c), "\"f\":1.500,\"g\":0.25,"));
    json_t *line = json_loads(c->line, 0, NULL);
    assert_non_null(line);
    assert_true(json_is_real(json_object_get(line, "big")));
    assert_true(json_is_string(json_object_get(line, "inf")));
    assert_true(json_is_string(json_object_get(line, "nan")));
    json_decref(line);
}

static void strings_characters_and_hex_are_text(void **state) {
    struct capture *c = *state;
    const char *volatile none = NULL; /* volatile, or the compiler warns of just what is tested */
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_info("m", "s=%s cut=%.*s fixed=%.2s null=%s x=%x c=%c last=%d", "text", 3, "abcdef", "xyz",
             none, 255u, 'q', 1);
    json_t *line = next_json(c);
    assert_string_equal(text_of(line, "s"), "text");
    assert_string_equal(text_of(line, "cut"), "abc");
    assert_string_equal(text_of(line, "fixed"), "xy");
    assert_string_equal(text_of(line, "null"), "");
    assert_string_equal(text_of(line, "x"), "ff");
    assert_string_equal(text_of(line, "c"), "q");
    assert_int_equal(json_integer_value(json_object_get(line, "last")), 1);
    json_decref(line);
}

static void no_byte_reaches_a_terminal_as_a_command(void **state) {
    struct capture *c = *state;
    for (enum log_format format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        log_init(LOG_LEVEL_INFO, format);
        for (int byte = 1; byte < 256; byte++) {
            char text[] = {'<', (char)byte, '>', '\0'};
            log_info(text, "value=%s", text);
            const char *line = next_line(c);
            assert_true(utf8_valid(line, strlen(line)));
            assert_false(utf8_has_control(line, strlen(line)));
        }
        log_info("m", "c1=%s",
                 "\xc2\x9b"
                 "31m");
        assert_non_null(strstr(next_line(c), "\"\\\\xc2\\\\x9b31m\""));
    }
}

static void escapes_read_back_from_json(void **state) {
    struct capture *c = *state;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_info("two\nlines", "a=%s b=%s", "\x1b[31m\"red\"\\", "\xff|\xf0\x9f\x98\x80|\xf0\x9f");
    json_t *line = next_json(c);
    assert_string_equal(text_of(line, "msg"), "two\\x0alines");
    assert_string_equal(text_of(line, "a"), "\\x1b[31m\"red\"\\");
    assert_string_equal(text_of(line, "b"), "\\xff|\xf0\x9f\x98\x80|\\xf0\\x9f");
    json_decref(line);
}

static void long_text_is_cut(void **state) {
    struct capture *c = *state;
    char text[LINE_MAX_BYTES];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (enum log_format format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        log_init(LOG_LEVEL_INFO, format);
        for (char fill = 'x'; fill != '\0'; fill = fill == 'x' ? '\x01' : '\0') {
            memset(text, fill, sizeof(text) - 1);
            log_info(text, "value=%s last=%d", text, 1);
            const char *line = next_line(c);
            assert_in_range(strlen(line), 2000, 2300);
            assert_non_null(strstr(line, "last"));
        }
    }
}

static void errno_survives_a_line(void **state) {
    struct capture *c = *state;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    int closed = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ENOTTY;
    log_error("nobody hears this", NULL);
    int after = errno;
    dup2(closed, STDERR_FILENO);
    close(closed);
    assert_int_equal(after, ENOTTY);
    assert_no_line(c);
}

static void auto_is_logfmt_on_a_terminal(void **state) {
    (void)state;
    char line[256] = "";
    int leader = posix_openpt(O_RDWR | O_NOCTTY);
    if (leader < 0 || grantpt(leader) != 0 || unlockpt(leader) != 0)
        skip();
    int terminal = open(ptsname(leader), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    dup2(terminal, STDERR_FILENO);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    log_info("m", NULL);
    assert_true(read(leader, line, sizeof(line) - 1) > 0);
    assert_ptr_equal(strstr(line, "time="), line);
    close(terminal);
    close(leader);
}

/* Standard error as a pipe, whose other end is returned; not even a full one holds up a writer. */
static int pipe_start(void) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    return ends[0];
}

/* All that the pipe holds. */
static void pipe_drain(int reader, struct buf *all) {
    char bytes[4096];
    ssize_t n;
    while ((n = read(reader, bytes, sizeof(bytes))) > 0)
        buf_append(all, bytes, (size_t)n);
}

enum { THREADS = 4, EACH = 100 }; /* fits a pipe */

static void write_many(void *arg) {
    int thread = *(int *)arg;
    for (int i = 0; i < EACH; i++)
        log_info("from a thread", "thread=%d i=%d", thread, i);
}

static void lines_of_threads_do_not_mix(void **state) {
    (void)state;
    uv_thread_t threads[THREADS];
    int numbers[THREADS], next[THREADS] = {0}, lines = 0;
    struct buf all = BUF_INIT;
    int reader = pipe_start();
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(uv_thread_create(&threads[i], write_many, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&threads[i]);
    pipe_drain(reader, &all);
    for (char *save = NULL, *text = strtok_r(all.data, "\n", &save); text != NULL;
         text = strtok_r(NULL, "\n", &save), lines++) {
        json_t *line = json_loads(text, 0, NULL);
        assert_non_null(line);
        json_int_t thread = json_integer_value(json_object_get(line, "thread"));
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(json_integer_value(json_object_get(line, "i")), next[thread]++);
        json_decref(line);
    }
    assert_int_equal(lines, THREADS * EACH);
    buf_fini(&all);
    close(reader);
}

static void a_log_that_nobody_reads_holds_up_nobody(void **state) {
    (void)state;
    enum { MANY = 5000 }; /* far more than a pipe holds */
    struct buf first = BUF_INIT, then = BUF_INIT;
    int reader = pipe_start();
    unsigned long dropped = 0, kept = 0;
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    for (int i = 0; i < MANY; i++)
        log_info("into a pipe", "i=%d", i);
    pipe_drain(reader, &first);
    for (size_t i = 0; i < first.len; i++)
        kept += first.data[i] == '\n';
    log_info("there you are", NULL);
    pipe_drain(reader, &then);
    assert_non_null(strstr(then.data, "lines were dropped"));
    assert_non_null(strstr(then.data, "there you are"));
    assert_int_equal(sscanf(strstr(then.data, "lines="), "lines=%lu", &dropped), 1);
    assert_int_equal(kept + dropped, MANY);
    buf_fini(&first);
    buf_fini(&then);
    close(reader);
}

static void a_limit_lets_one_line_through_and_counts_the_others(void **state) {
    (void)state;
    struct log_limit limit = {0};
    uint64_t suppressed = 99;
    assert_true(log_limit_pass(&limit, 5000, 1000, &suppressed));
    assert_int_equal(suppressed, 0);
    for (int i = 0; i < 7; i++)
        assert_false(log_limit_pass(&limit, 5000 + (uint64_t)i, 1000, &suppressed));
    assert_false(log_limit_pass(&limit, 5999, 1000, &suppressed));
    assert_true(log_limit_pass(&limit, 6000, 1000, &suppressed));
    assert_int_equal(suppressed, 8);
    assert_false(log_limit_pass(&limit, 6001, 1000, &suppressed));
    assert_true(log_limit_pass(&limit, 60000, 1000, &suppressed));
    assert_int_equal(suppressed, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define captured(f) cmocka_unit_test_setup_teardown(f, capture_start, capture_stop)
        captured(without_init_it_is_info_and_json_where_no_terminal_is),
        captured(a_level_silences_those_below_it),
        captured(a_silent_debug_line_costs_no_arguments),
        captured(logfmt_is_pairs),
        captured(the_time_is_now_in_utc),
        captured(logfmt_quotes_what_is_not_one_word),
        captured(json_writes_numbers_as_numbers),
        captured(the_largest_number_keeps_its_digits),
        captured(fractions_are_numbers_unless_they_are_none),
        captured(strings_characters_and_hex_are_text),
        captured(no_byte_reaches_a_terminal_as_a_command),
        captured(escapes_read_back_from_json),
        captured(long_text_is_cut),
        captured(errno_survives_a_line),
        captured(auto_is_logfmt_on_a_terminal),
        captured(lines_of_threads_do_not_mix),
        captured(a_log_that_nobody_reads_holds_up_nobody),
        cmocka_unit_test(a_limit_lets_one_line_through_and_counts_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
