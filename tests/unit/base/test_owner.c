/* An object is of the thread that used it first. */
#include "relay/base/owner.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static void use(void *arg) {
    owner_check(arg);
}

static void use_on_another_thread(struct owner *o) {
    uv_thread_t thread;
    assert_int_equal(uv_thread_create(&thread, use, o), 0);
    uv_thread_join(&thread);
}

static void the_first_thread_is_its_owner(void **state) {
    struct owner o = {.bound = false};
    (void)state;
    owner_check(&o);
    owner_check(&o);
    assert_true(o.bound);
}

/* In a child, since it dies of it. */
static void another_thread_is_found_out(void **state) {
    int status;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct owner o = {.bound = false};
        close(STDERR_FILENO); /* the assertion's words would look like a failure of ours */
        owner_check(&o);
        use_on_another_thread(&o);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_thread_is_its_owner),
        cmocka_unit_test(another_thread_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
