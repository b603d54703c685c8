/* The rules for options that are texts. For the columns of table.c.
 *
 * Each returns NULL when @value may stand, or what is wrong with it ("has no port"; static
 * storage), and may rewrite @value in place into its one written form, never longer. Pure; any
 * thread. */
#ifndef RELAY_CONFIG_CHECK_H
#define RELAY_CONFIG_CHECK_H

const char *check_not_empty(char *value);
const char *check_redis(char *value);
const char *check_prefix(char *value);

/* A host as it stands in a Host header, without port; in lower case. */
const char *check_host(char *value);

/* An origin as browsers send it: in lower case, without the scheme's own port; or "*". */
const char *check_origin(char *value);

/* An address, a network, or a word for some. */
const char *check_network(char *value);

/* A cookie's name (RFC 6265). */
const char *check_cookie(char *value);

/* The address of a JWKS: https://, or http:// and a loopback address; no user, nothing behind #. */
const char *check_jwks_url(char *value);

/* A pattern of topics without a place for a subject. */
const char *check_public(char *value);

#endif
