/* How a check of `doctor` says what it found. Pure; any thread. */
#ifndef PUBLISHER_CLI_INSPECT_DOCTOR_REPORT_H
#define PUBLISHER_CLI_INSPECT_DOCTOR_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "publisher-cli/inspect/doctor_facts.h"

enum level { LEVEL_OK, LEVEL_WARN, LEVEL_FAIL, LEVEL_SKIP, LEVELS };

struct finding {
    enum level level;
    const char *check;  /* its name: a word */
    const char *text;   /* what was found */
    const char *advice; /* what to do; NULL: nothing */
};

typedef void (*finding_cb)(void *arg, const struct finding *finding);

/* Where the findings of a check go. */
struct report {
    finding_cb on_finding;
    void *arg;
    const char *check;
};

/* Report that @format was found. @advice may be NULL. What Redis said in them is made fit to be
 * shown. */
void report_say(struct report *r, enum level level, const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The value of a setting; where there is none, what says why is reported as skipped and NULL
 * returned. And the same for a number of INFO. */
const char *report_setting(struct report *r, const struct facts *f, enum setting setting);
bool report_number(struct report *r, const struct facts *f, const char *name, uint64_t *out);

/* Why INFO does not tell what a check wanted of it. */
const char *report_no_info(const struct facts *f);

/* "CONFIG SET name value", and the line of redis.conf. */
enum { ADVICE_BYTES = 320 };
void advise(char advice[ADVICE_BYTES], const char *name, const char *value, const char *why);

#endif
