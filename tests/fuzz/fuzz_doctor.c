/* What doctor makes of a server that tells anything. The input is texts, a NUL behind each: INFO,
 * CLUSTER INFO, why a key was refused, then the settings in their order.
 *
 * Held to: each finding has words that can be shown anywhere, and each check has one. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/inspect/doctor_checks.h"
#include "relay/base/utf8.h"
#include "tests/fuzz/fuzz.h"

enum { TEXTS = 3 + SETTINGS, CHECKS_LEAST = 3 };

static void must(bool condition) {
    if (!condition)
        abort();
}

static void check_words(const char *text) {
    must(*text != '\0' && utf8_valid(text, strlen(text)));
    for (; *text != '\0'; text++)
        must((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void on_finding(void *arg, const struct finding *f) {
    size_t *count = arg;
    must(f->level < LEVELS);
    check_words(f->check);
    check_words(f->text);
    if (f->advice != NULL)
        check_words(f->advice);
    ++*count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = calloc(size + 1, 1), *texts[TEXTS] = {NULL};
    size_t count = 0;
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    for (size_t i = 0, at = 0; i < TEXTS && at < size; i++) {
        texts[i] = copy + at;
        at += strlen(copy + at) + 1;
    }
    struct facts f = {.prefix = "sse", .address = "redis://x", .user = "u"};
    f.info.text = texts[0];
    f.cluster.text = texts[1];
    f.home.refusal = texts[2];
    for (size_t i = 0; i < SETTINGS; i++)
        f.settings[i].text = texts[3 + i];
    checks_run(&f, on_finding, &count);
    must(count >= CHECKS_LEAST);
    free(copy);
    return 0;
}
