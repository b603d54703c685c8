/* Addresses and networks; see ip_address.h. */
#include "relay/base/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"

enum { V4_BYTES = 4, V6_BYTES = 16, MAPPED_BITS = 96, KEY_BYTES = 8 };

static const uint8_t mapped[V6_BYTES - V4_BYTES] = {[10] = 0xff, [11] = 0xff};

/* ---- addresses ---- */

const struct ip_address ip_address_nobody = {.version = 4};

struct ip_address ip_address_v4(const void *bytes) {
    struct ip_address a = {.version = 4};
    memcpy(a.bytes, bytes, V4_BYTES);
    return a;
}

struct ip_address ip_address_v6(const void *bytes) {
    struct ip_address a = {.version = 6};
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
        return ip_address_v4((const uint8_t *)bytes + sizeof(mapped));
    memcpy(a.bytes, bytes, V6_BYTES);
    return a;
}

struct ip_address ip_address_of(const struct sockaddr *sa) {
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        return ip_address_v4(&in.sin_addr);
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        return ip_address_v6(&in6.sin6_addr);
    }
    return (struct ip_address){0};
}

/* As it was written; *@is_v6 says how. */
static bool parse(const char *text, size_t len, struct ip_address *out, bool *is_v6) {
    char copy[IP_ADDRESS_TEXT];
    uint8_t bytes[V6_BYTES];
    if (len == 0 || len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    *is_v6 = memchr(text, ':', len) != NULL;
    if (strlen(copy) != len || inet_pton(*is_v6 ? AF_INET6 : AF_INET, copy, bytes) != 1)
        return false;
    *out = *is_v6 ? ip_address_v6(bytes) : ip_address_v4(bytes);
    return true;
}

bool ip_address_parse(const char *text, size_t len, struct ip_address *out) {
    bool ignored;
    return parse(text, len, out, &ignored);
}

const char *ip_address_format(const struct ip_address *a, char text[IP_ADDRESS_TEXT]) {
    if (a->version == 0)
        return strcpy(text, "-");
    return inet_ntop(a->version == 4 ? AF_INET : AF_INET6, a->bytes, text, IP_ADDRESS_TEXT);
}

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b) {
    return a->version == b->version && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* IPv4 takes 0:ffff:*, and what begins with 64 zeros, ::1 above all, takes 1: IPv6 has nothing else
 * in ::/8 that a peer could have. */
uint64_t ip_address_limit_key(const struct ip_address *a) {
    uint64_t key = 0;
    size_t n = a->version == 4 ? V4_BYTES : KEY_BYTES;
    if (a->version == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        key = key << 8 | a->bytes[i];
    if (a->version == 4)
        return UINT64_C(0xffff) << 32 | key;
    return key != 0 ? key : 1;
}

/* ---- networks ---- */

static unsigned bits_of(const struct ip_address *a) {
    return a->version == 4 ? 8 * V4_BYTES : 8 * V6_BYTES;
}

/* Whether the bits from @from on are zeros. */
static bool ends_in_zeros(const struct ip_address *a, unsigned from) {
    for (unsigned bit = from; bit < bits_of(a); bit++)
        if (a->bytes[bit / 8] & (0x80u >> bit % 8))
            return false;
    return true;
}

/* The number behind the slash; -1: it is none. */
static int parse_bits(const char *s) {
    size_t len = strlen(s);
    if (len == 0 || len > 3 || strspn(s, "0123456789") != len || (s[0] == '0' && len > 1))
        return -1;
    return atoi(s);
}

static const char *parse_network(const char *text, struct ip_network *out) {
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    bool is_v6 = false;
    if (!parse(text, len, &out->base, &is_v6))
        return "has no valid address";
    unsigned most = bits_of(&out->base);
    unsigned removed = is_v6 && out->base.version == 4 ? MAPPED_BITS : 0;
    int bits = slash != NULL ? parse_bits(slash + 1) : (int)(most + removed);
    if (bits < 0 || (unsigned)bits < removed || (unsigned)bits > most + removed)
        return "has no valid prefix length behind the slash (0 to 32, or 128 for IPv6)";
    if (!ends_in_zeros(&out->base, (unsigned)bits - removed))
        return "is no network: bits behind its prefix length are set";
    out->bits = (uint8_t)((unsigned)bits - removed);
    return NULL;
}

static const char *add_network(struct ip_networks *n, const char *text) {
    struct ip_network network;
    const char *wrong = parse_network(text, &network);
    if (wrong != NULL)
        return wrong;
    n->items = mem_realloc(n->items, (n->len + 1) * sizeof(*n->items));
    n->items[n->len++] = network;
    return NULL;
}

static void add_all(struct ip_networks *n, const char *const *texts) {
    for (; *texts != NULL; texts++)
        add_network(n, *texts);
}

const char *ip_networks_add(struct ip_networks *n, const char *text) {
    static const char *const loopback[] = {"127.0.0.0/8", "::1", NULL};
    static const char *const private[] = {
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10",
        NULL};
    if (strcmp(text, "loopback") == 0)
        add_all(n, loopback);
    else if (strcmp(text, "private") == 0)
        add_all(n, private);
    else if (strcmp(text, "unix") == 0)
        n->unix_sockets = true;
    else
        return add_network(n, text);
    return NULL;
}

static bool contains(const struct ip_network *n, const struct ip_address *a) {
    size_t whole = n->bits / 8;
    unsigned rest = n->bits % 8;
    if (n->base.version != a->version || memcmp(n->base.bytes, a->bytes, whole) != 0)
        return false;
    return rest == 0 || (n->base.bytes[whole] ^ a->bytes[whole]) >> (8 - rest) == 0;
}

bool ip_networks_contain(const struct ip_networks *n, const struct ip_address *a) {
    if (a->version == 0)
        return n->unix_sockets;
    for (size_t i = 0; i < n->len; i++)
        if (contains(&n->items[i], a))
            return true;
    return false;
}

void ip_networks_fini(struct ip_networks *n) {
    free(n->items);
    *n = (struct ip_networks){0};
}
