/* The command `doctor`: what the Redis that it is pointed at is like, and what to change, in words.
 *
 * Three steps, one file each: doctor_facts.h asks, doctor_checks.h judges (pure), doctor.c prints.
 * Nothing is written to Redis. */
#ifndef PUBLISHER_CLI_INSPECT_DOCTOR_H
#define PUBLISHER_CLI_INSPECT_DOCTOR_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

/* Print a line, or with --output json an object, for each check to @out and how many went how to
 * @err. Returns EXIT_DONE where none failed, EXIT_REFUSED where one did, EXIT_UNREACHABLE; nothing
 * is left in @loop. */
int doctor_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);

#endif
