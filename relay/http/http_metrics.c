/* Names; see http_metrics.h. */
#include "relay/http/http_metrics.h"

const char *http_tls_failure_name(enum http_tls_failure why) {
    static const char *const names[HTTP_TLS_FAILURES] = {"plain_http",        "malformed",
                                                         "nothing_in_common", "client_certificate",
                                                         "refused",           "unfinished"};
    return names[why];
}
