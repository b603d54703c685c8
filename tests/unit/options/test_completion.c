/* Completions: texts that mean something to a shell. What the shells make of the rest is in
 * tests/e2e/test_publish_usage.py. */
#include "relay/options/completion.h"

#include <string.h>

#include "tests/unit/unit.h"

static const char *const choices[] = {"one", "two", NULL};
static const struct completion_option options[] = {
    {.name = "odd", .letter = 'o', .help = "it's [odd]: \\$HOME", .commands = 1},
    {.name = "kind", .value = "KIND", .help = "x", .choices = choices, .commands = 1},
};
static const struct completion_program program = {
    .name = "a-b", .how = "a-b --generate", .options = options, .options_count = 2};

static void check(enum completion_shell shell, const char *text) {
    struct buf out = BUF_INIT;
    completion_put(&out, shell, &program);
    if (strstr(out.data, text) == NULL)
        fail_msg("%s\nis not in\n%s", text, out.data);
    buf_fini(&out);
}

static void test_quotes(void **state) {
    (void)state;
    check(COMPLETION_ZSH, "'*-o[it'\\''s \\[odd\\]: \\\\$HOME]'\n");
    check(COMPLETION_FISH, " -s o -l odd -d 'it\\'s [odd]: \\\\$HOME'\n");
}

static void test_choices(void **state) {
    (void)state;
    check(COMPLETION_BASH, "compgen -W 'one two' -- \"$cur\"");
    check(COMPLETION_ZSH, "'*--kind=[x]:KIND:(one two)'\n");
    check(COMPLETION_FISH, " -l kind -x -a 'one two' -d 'x'\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
