/* What an event of the benchmark carries: its number and the time at which it was due, so that the
 * receiver sees loss, duplicates, disorder and latency without knowing the publisher.
 *
 * The text is `<seq> <due_ns> <pad>`, both numbers as 16 hex digits, padded with a known pattern to
 * a size that is the same for all events of a run, so that truncation and damage show as well. */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAYLOAD_MIN_BYTES = 40, PAYLOAD_MAX_BYTES = 64 * 1024 };

struct payload {
    uint64_t seq;    /* counts from 0 over a run */
    uint64_t due_ns; /* when the schedule wanted it sent, CLOCK_MONOTONIC */
};

/* Write @size bytes (within the bounds above) to @text, without a terminator. */
void payload_write(char *text, size_t size, const struct payload *p);

/* Read what payload_write() wrote. False: this is not an intact payload of @size bytes. */
bool payload_read(const char *text, size_t length, size_t size, struct payload *p);

#endif
