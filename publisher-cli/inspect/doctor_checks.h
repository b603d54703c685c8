/* What `doctor` makes of the facts: one small function for each check. Pure; any thread. */
#ifndef PUBLISHER_CLI_INSPECT_DOCTOR_CHECKS_H
#define PUBLISHER_CLI_INSPECT_DOCTOR_CHECKS_H

#include <stddef.h>

#include "publisher-cli/inspect/doctor_facts.h"
#include "publisher-cli/inspect/doctor_report.h"

struct check {
    const char *name;
    void (*run)(struct report *r, const struct facts *f);
};

/* Run every check that there is for such a server; each one has at least one finding. */
void checks_run(const struct facts *f, finding_cb on_finding, void *arg);

/* The checks of doctor_place.c: whom we speak to, and what it says of others. */
void check_role(struct report *r, const struct facts *f);
void check_replicas(struct report *r, const struct facts *f);
void check_cluster(struct report *r, const struct facts *f);
void check_sentinel(struct report *r, const struct facts *f);
void check_publish_rights(struct report *r, const struct facts *f);
void check_relay_rights(struct report *r, const struct facts *f);
void check_time(struct report *r, const struct facts *f);
void check_clock(struct report *r, const struct facts *f);
void check_keys(struct report *r, const struct facts *f);

#endif
