/* The one function that a fuzzer defines; libFuzzer or corpus_main.c calls it with the input. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Feed @size bytes at @data to the code under test; a finding aborts. Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
