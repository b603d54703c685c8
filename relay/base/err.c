/* Texts of the error codes. */
#include "relay/base/err.h"

const char *relay_strerror(int code) {
    switch ((enum relay_err)code) {
    case RELAY_OK:
        return "ok";
    case RELAY_ENOMEM:
        return "out of memory";
    case RELAY_EINVAL:
        return "invalid input";
    case RELAY_EOVERFLOW:
        return "limit exceeded";
    case RELAY_ECLOSING:
        return "closing";
    case RELAY_ECANCELED:
        return "cancelled";
    case RELAY_ECONN:
        return "connection lost";
    case RELAY_ETIMEOUT:
        return "timed out";
    case RELAY_EPROTO:
        return "protocol error";
    case RELAY_EREMOTE:
        return "refused by the peer";
    case RELAY_EAGAIN:
        return "not possible now";
    case RELAY_EIO:
        return "input/output error";
    case RELAY_EADDRINUSE:
        return "address already in use";
    }
    return "unknown error";
}
