/* Findings; see doctor_report.h. */
#include "publisher-cli/inspect/doctor_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "publisher-cli/inspect/ask.h"

void report_say(struct report *r, enum level level, const char *advice, const char *format, ...) {
    char text[640], then[640];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ask_clean(text);
    snprintf(then, sizeof(then), "%s", advice != NULL ? advice : "");
    ask_clean(then);
    r->on_finding(r->arg, &(struct finding){.level = level,
                                            .check = r->check,
                                            .text = text,
                                            .advice = advice != NULL ? then : NULL});
}

const char *report_no_info(const struct facts *f) {
    return f->info.refusal != NULL ? f->info.refusal : "it says nothing of it";
}

const char *report_setting(struct report *r, const struct facts *f, enum setting setting) {
    const struct fact *fact = &f->settings[setting];
    if (fact->text == NULL)
        report_say(r, LEVEL_SKIP, NULL, "CONFIG GET %s: %s", setting_name(setting),
                   fact->refusal != NULL ? fact->refusal : "no answer");
    return fact->text;
}

bool report_number(struct report *r, const struct facts *f, const char *name, uint64_t *out) {
    if (facts_number(f, name, out))
        return true;
    report_say(r, LEVEL_SKIP, NULL, "INFO, %s: %s", name, report_no_info(f));
    return false;
}

void advise(char advice[ADVICE_BYTES], const char *name, const char *value, const char *why) {
    bool is_quoted = strchr(value, ' ') != NULL && strchr(value, '"') == NULL;
    snprintf(advice, ADVICE_BYTES, "CONFIG SET %s %s%s%s, and in redis.conf: %s %s%s%s", name,
             is_quoted ? "\"" : "", value, is_quoted ? "\"" : "", name, value,
             *why != '\0' ? "; " : "", why);
}
