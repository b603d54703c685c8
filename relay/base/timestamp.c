/* ISO 8601 to milliseconds since 1970; see timestamp.h. */
#include "relay/base/timestamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Take @digits decimal digits off @text. */
static bool take_number(const char **text, int digits, int *out) {
    int value = 0;
    for (int i = 0; i < digits; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        value = value * 10 + (**text - '0');
    }
    *out = value;
    return true;
}

static bool take(const char **text, char c) {
    if (**text != c)
        return false;
    (*text)++;
    return true;
}

static int days_in(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Days from 1970-01-01, in the proleptic Gregorian calendar: a year that begins in March has its
 * leap day at its end. */
static int64_t days_since_1970(int year, int month, int day) {
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool take_date(const char **text, int64_t *days) {
    int year, month, day;
    if (!take_number(text, 4, &year) || !take(text, '-') || !take_number(text, 2, &month) ||
        !take(text, '-') || !take_number(text, 2, &day))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return false;
    *days = days_since_1970(year, month, day);
    return true;
}

/* Of the digits behind the point, the first three count. */
static bool take_fraction(const char **text, int *ms) {
    int digits = 0;
    *ms = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++, digits++)
        if (digits < 3)
            *ms = *ms * 10 + (**text - '0');
    for (int i = digits; i < 3; i++)
        *ms *= 10;
    return digits > 0;
}

static bool take_time(const char **text, int64_t *out) {
    int hours, minutes, seconds = 0, ms = 0;
    if (!take_number(text, 2, &hours) || !take(text, ':') || !take_number(text, 2, &minutes))
        return false;
    if (take(text, ':') &&
        (!take_number(text, 2, &seconds) || (take(text, '.') && !take_fraction(text, &ms))))
        return false;
    if (hours > 23 || minutes > 59 || seconds > 60)
        return false;
    if (seconds == 60)
        seconds = 59;
    *out = ((hours * 60 + minutes) * 60 + seconds) * INT64_C(1000) + ms;
    return true;
}

/* Minutes east of Greenwich. In a URL a `+` is a space. */
static bool take_zone(const char **text, int *minutes) {
    int hours, rest;
    *minutes = 0;
    if (take(text, 'Z') || take(text, 'z'))
        return true;
    int sign = **text == '-' ? -1 : **text == '+' || **text == ' ' ? 1 : 0;
    if (sign == 0)
        return false;
    (*text)++;
    if (!take_number(text, 2, &hours) || !take(text, ':') || !take_number(text, 2, &rest) ||
        hours > 23 || rest > 59)
        return false;
    *minutes = sign * (hours * 60 + rest);
    return true;
}

const char *timestamp_parse(const char *text, uint64_t *ms) {
    int64_t days, of_day;
    int zone;
    if (!take_date(&text, &days))
        return "is no date such as 2026-11-30";
    if (!take(&text, 'T') && !take(&text, 't') && !take(&text, ' '))
        return "has no time behind the date, such as T17:45:00Z";
    if (!take_time(&text, &of_day))
        return "has no time such as 17:45:00";
    if (!take_zone(&text, &zone) || *text != '\0')
        return "has no time zone: end it with Z, or an offset such as +01:00";
    int64_t whole = days * INT64_C(86400000) + of_day - zone * INT64_C(60000);
    if (whole < 0)
        return "is before 1970";
    *ms = (uint64_t)whole;
    return NULL;
}

void timestamp_put(struct buf *out, uint64_t ms) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[40];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_puts(out, text);
}
