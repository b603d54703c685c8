/* Names; see http_metrics.h. */
#include "relay/http/http_metrics.h"

const char *http_tls_failure_name(enum http_tls_failure why) {
    static const char *const names[HTTP_TLS_FAILURES] = {"plain_http",        "malformed",
                                                         "nothing_in_common", "client_certificate",
                                                         "refused",           "unfinished"};
    return names[why];
}

const char *http_limit_name(enum http_limit limit) {
    static const char *const names[HTTP_LIMITS] = {
        [HTTP_LIMIT_CONNECTIONS] = "connections",
        [HTTP_LIMIT_ADDRESS_CONNECTIONS] = "connections_per_address",
        [HTTP_LIMIT_SUBJECT_CONNECTIONS] = "connections_per_subject",
        [HTTP_LIMIT_SUBJECT_STREAMS] = "streams_per_subject",
        [HTTP_LIMIT_TOPICS] = "topics",
        [HTTP_LIMIT_PUBLISH_RATE] = "publish_rate",
        [HTTP_LIMIT_ACCEPT_RATE] = "accept_rate",
        [HTTP_LIMIT_FAILED_TOKENS] = "failed_tokens"};
    return names[limit];
}

const char *http_proxy_refusal_name(enum http_proxy_refusal why) {
    static const char *const names[HTTP_PROXY_REFUSALS] = {"untrusted", "missing", "malformed",
                                                           "unfinished"};
    return names[why];
}
