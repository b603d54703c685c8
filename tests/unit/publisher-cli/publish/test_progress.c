/* The line of the progress bar, whatever the width of the terminal. */
#include <string.h>

#include "publisher-cli/publish/progress.h"
#include "tests/unit/unit.h"

static void check(struct progress_figures figures, int width, const char *wanted) {
    struct buf line = BUF_INIT;
    progress_put(&line, &figures, 5000, 10 * 1000000, width);
    buf_puts(&line, ""); /* there is a text */
    assert_string_equal(line.data, wanted);
    assert_true(line.len <= (size_t)width);
    buf_fini(&line);
}

static void test_line(void **state) {
    (void)state;
    check((struct progress_figures){50000, 0, 0.25}, 79,
          "[#########............................]  25 %  50,000 events  5,000/s  ETA 0:30");
    check((struct progress_figures){1, 1, 1}, 200,
          "[########################################] 100 %  1 event  5,000/s  ETA 0:00  1 error");
    check((struct progress_figures){50000, 2, -1}, 79, "50,000 events  5,000/s  0:10  2 errors");
    check((struct progress_figures){0, 0, 0}, 79,
          "[........................................]   0 %  0 events  5,000/s  0:10");
    check((struct progress_figures){50000, 0, 0.25}, 45, "50,000 events  5,000/s  ETA 0:30");
    check((struct progress_figures){50000, 2, 0.25}, 44,
          "50,000 events  5,000/s  ETA 0:30  2 errors");
    check((struct progress_figures){50000, 2, 0.25}, 41, "50,000 events  ETA 0:30  2 errors");
    check((struct progress_figures){50000, 2, 0.25}, 32, "50,000 events  2 errors");
    check((struct progress_figures){50000, 2, 0.25}, 22, "50,000 events");
    check((struct progress_figures){50000, 2, 0.25}, 12, "");
    check((struct progress_figures){50000, 0, 0.25}, 0, "");
    check((struct progress_figures){50000, 0, 0.00025}, 79,
          "[.................................]   0 %  50,000 events  5,000/s  ETA 11:06:30");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
