/* Manual pages: what plain text becomes. */
#include "relay/options/roff.h"

#include <string.h>

#include "tests/unit/unit.h"

static void check_text(const char *text, const char *wanted) {
    struct buf out = BUF_INIT;
    roff_put_text(&out, text);
    assert_string_equal(out.data, wanted);
    buf_fini(&out);
}

static void test_bytes_of_roff(void **state) {
    (void)state;
    check_text("a `--b-c` d-e", "a \\fB\\-\\-b\\-c\\fP d-e\n");
    check_text("`'^~`", "\\fB\\(aq\\(ha\\(ti\\fP\n");
    check_text("a\\b", "a\\eb\n");
    check_text("one\n\ntwo\nthree", "one\n.sp\ntwo three\n");
    check_text("`a b`", "\\fBa b\\fP\n");
}

/* Nothing at the beginning of a line is a request, wherever the line was broken. */
static void test_no_request(void **state) {
    (void)state;
    struct buf text = BUF_INIT, out = BUF_INIT;
    for (int i = 0; i < 100; i++)
        buf_puts(&text, ".so 'br ");
    roff_put_text(&out, text.data);
    for (const char *line = out.data; *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_int_equal(line[0], '\\');
        assert_true(strcspn(line, "\n") <= 80);
    }
    buf_fini(&text);
    buf_fini(&out);
}

static void test_synopsis(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    roff_put_synopsis(&out, "a-b", "`help` [OPTION]... -t TOPIC, --name VALUE|other");
    assert_string_equal(out.data, "\\fBa\\-b\\fP \\fBhelp\\fP [\\fIOPTION\\fP]... \\fB\\-t\\fP "
                                  "\\fITOPIC\\fP, \\fB\\-\\-name\\fP \\fIVALUE\\fP|other\n");
    buf_fini(&out);
}

static void test_example(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    roff_put_example(&out, "./a 'b'\n.x");
    assert_string_equal(out.data, ".RS 4\n.nf\n\\&./a \\(aqb\\(aq\n\\&.x\n.fi\n.RE\n");
    buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_of_roff),
        cmocka_unit_test(test_no_request),
        cmocka_unit_test(test_synopsis),
        cmocka_unit_test(test_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
