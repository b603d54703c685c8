/* Base64 with the alphabet of URLs and without padding, as JOSE writes it (RFC 7515, section 2).
 *
 * Pure; any thread. */
#ifndef RELAY_AUTH_BASE64URL_H
#define RELAY_AUTH_BASE64URL_H

#include <stddef.h>

#include "relay/base/buf.h"

/* Append the bytes that @text stands for. Strict: no padding, no white space, no other alphabet,
 * and the unused bits of the last letter are zero, so that each run of bytes has one spelling.
 *
 * Returns RELAY_OK, or RELAY_EINVAL: @out is unchanged. */
int base64url_decode(const char *text, size_t len, struct buf *out);

/* Append @bytes in that spelling. */
void base64url_encode(const void *bytes, size_t len, struct buf *out);

#endif
