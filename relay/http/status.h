/* Status codes in words (RFC 9110, section 15). Pure; any thread. */
#ifndef RELAY_HTTP_STATUS_H
#define RELAY_HTTP_STATUS_H

/* Static storage; "Unknown" for one that is never sent here. */
const char *status_phrase(int status);

#endif
