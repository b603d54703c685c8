/* What all providers of exchanges share; see exchange.h. */
#include "relay/http/exchange.h"

#include <string.h>

#include "relay/http/limits.h"

void exchange_init(struct exchange *x, const struct exchange_ops *ops,
                   struct http_service *service) {
    memset(x, 0, sizeof(*x));
    x->ops = ops;
    x->service = service;
}

static void leave_hub(struct exchange *x) {
    if (x->subscriber != NULL)
        hub_detach(x->subscriber);
    x->subscriber = NULL;
    limits_end_stream(x->held);
    x->held = NULL;
}

void exchange_fini(struct exchange *x) {
    leave_hub(x);
    if (x->publish != NULL)
        x->publish->waiter = NULL; /* its answer is thrown away when it comes */
    x->publish = NULL;
    x->request = NULL;
}

void exchange_end_stream(struct exchange *x, enum hub_end why) {
    metric_add(&x->service->metrics->ends[why], 1);
    leave_hub(x);
}

void exchange_wait(struct exchange *x, struct bus_publish *p) {
    p->waiter = x;
    x->publish = p;
    x->ops->wait(x);
}
