/* Allocation that does not fail. */
#include "relay/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static void memory_comes_zeroed(void **state) {
    (void)state;
    unsigned char *p = mem_zalloc(4096);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(p[i], 0);
    free(p);
}

static void memory_grows_with_its_bytes(void **state) {
    (void)state;
    char *p = mem_realloc(NULL, 4);
    memcpy(p, "abc", 4);
    p = mem_realloc(p, 100000);
    assert_string_equal(p, "abc");
    free(p);
}

static void a_copy_ends_with_nul(void **state) {
    (void)state;
    char *p = mem_strndup("abcdef", 3);
    assert_string_equal(p, "abc");
    free(p);
    p = mem_strndup("a\0b", 3);
    assert_memory_equal(p, "a\0b", 4);
    free(p);
    p = mem_strndup(NULL, 0);
    assert_string_equal(p, "");
    free(p);
}

/* A sanitizer's allocator reports a request that cannot be met as an error of ours. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 1
#endif
#endif

/* A process of its own asks for more than there can be; it must not come back from that. */
static void running_out_ends_the_process(void **state) {
    (void)state;
#ifdef OWN_ALLOCATOR
    skip();
#endif
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        volatile size_t too_much = SIZE_MAX / 2;
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        close(STDERR_FILENO);
        mem_realloc(NULL, too_much);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

struct outer {
    int before;
    int inner;
};

static void a_field_leads_to_its_object(void **state) {
    (void)state;
    struct outer o = {1, 2};
    assert_ptr_equal(container_of(&o.inner, struct outer, inner), &o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_comes_zeroed),
        cmocka_unit_test(memory_grows_with_its_bytes),
        cmocka_unit_test(a_copy_ends_with_nul),
        cmocka_unit_test(running_out_ends_the_process),
        cmocka_unit_test(a_field_leads_to_its_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
