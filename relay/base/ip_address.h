/* An IPv4 or IPv6 address, and sets of them as networks (10.0.0.0/8).
 *
 * A value: copied, compared, kept anywhere. An IPv4 address in IPv6's clothes (::ffff:10.0.0.1) is
 * the IPv4 address, wherever it comes from. Zones (fe80::1%eth0) are no part of it. Pure; any
 * thread. */
#ifndef RELAY_BASE_IP_ADDRESS_H
#define RELAY_BASE_IP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* All zero: none, as the peer of a unix: socket has. Equal addresses have equal bytes. */
struct ip_address {
    uint8_t version;   /* 4 or 6; 0: none */
    uint8_t bytes[16]; /* in network order; an IPv4 address is the first four, and zeros behind */
};

/* 0.0.0.0, which no peer has. */
extern const struct ip_address ip_address_nobody;

enum { IP_ADDRESS_TEXT = 46 }; /* the longest text, with its NUL */

/* Of 4 or 16 bytes in network order. */
struct ip_address ip_address_v4(const void *bytes);
struct ip_address ip_address_v6(const void *bytes);

/* Of a socket's address; none where that is of another family. */
struct ip_address ip_address_of(const struct sockaddr *sa);

/* Read @len bytes, without port, brackets and zone. Returns false, and *@out is unchanged, where
 * they are no address. */
bool ip_address_parse(const char *text, size_t len, struct ip_address *out);

/* Write it as text with a NUL; "-" for none. Returns @text. */
const char *ip_address_format(const struct ip_address *a, char text[IP_ADDRESS_TEXT]);

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b);

/* What limits count by: all of an IPv4 address, and of an IPv6 address the first 64 bits, since
 * whoever has one address has all that begin so. Equal for nobody else: IPv4 stands where IPv6 has
 * nothing assigned. 0: there is no address, and so nothing to count by. */
uint64_t ip_address_limit_key(const struct ip_address *a);

/* ---- networks ---- */

struct ip_network {
    struct ip_address base;
    uint8_t bits;
};

/* All zero: empty. */
struct ip_networks {
    struct ip_network *items;
    size_t len;
    bool unix_sockets; /* peers without an address are in it */
};

/* Add "10.0.0.0/8", "2001:db8::/32", an address alone, or one of the words loopback, private
 * (RFC 1918, fc00::/7, and link-local addresses) and unix.
 *
 * Returns NULL, or what is wrong ("has no valid ..."; static storage) and @n is unchanged. */
const char *ip_networks_add(struct ip_networks *n, const char *text);

/* Whether it is in one of them; none is where unix sockets are. */
bool ip_networks_contain(const struct ip_networks *n, const struct ip_address *a);

void ip_networks_fini(struct ip_networks *n);

#endif
