/* The rules for options that are texts; see check.h, and config.h for addresses. */
#include "relay/config/check.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "relay/auth/pattern.h"
#include "relay/base/err.h"
#include "relay/base/ip_address.h"
#include "relay/base/mem.h"
#include "relay/config/config.h"
#include "relay/redis/url.h"
#include "relay/wire/names.h"

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* No IDN: a name is written as browsers and resolvers write it. */
#define NAME_BYTES LOWER UPPER DIGITS "-._"

static bool consists_of(const char *s, size_t len, const char *bytes) {
    for (size_t i = 0; i < len; i++)
        if (s[i] == '\0' || strchr(bytes, s[i]) == NULL)
            return false;
    return len > 0;
}

/* The @len bytes at @s are an IPv6 address, with a zone ("%eth0") behind it or not. */
static bool is_ipv6(const char *s, size_t len) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    const char *zone = memchr(s, '%', len);
    size_t address_len = zone != NULL ? (size_t)(zone - s) : len;
    if (address_len >= sizeof(text))
        return false;
    memcpy(text, s, address_len);
    text[address_len] = '\0';
    if (zone != NULL && !consists_of(zone + 1, len - address_len - 1, NAME_BYTES))
        return false;
    return inet_pton(AF_INET6, text, &ignored) == 1;
}

/* The @len bytes at @s are a name, an IPv4 address, or an IPv6 address in brackets. */
static const char *check_host_part(const char *s, size_t len) {
    if (len == 0)
        return "has no host";
    if (s[0] == '[') {
        bool closed = len > 2 && s[len - 1] == ']';
        return closed && is_ipv6(s + 1, len - 2) ? NULL : "holds no valid IPv6 address in brackets";
    }
    if (memchr(s, ':', len) != NULL)
        return "holds an IPv6 address without brackets";
    return consists_of(s, len, NAME_BYTES) ? NULL : "holds a character that no host name has";
}

/* All of @s is a port. */
static const char *parse_port(const char *s, unsigned *out) {
    size_t len = strlen(s);
    if (len > 5 || !consists_of(s, len, DIGITS))
        return "has no valid port (0 to 65535)";
    unsigned long port = strtoul(s, NULL, 10);
    if (port > 65535)
        return "has no valid port (0 to 65535)";
    *out = (unsigned)port;
    return NULL;
}

/* The colon before the port: the last one, unless it is within brackets. NULL: there is none. */
static char *port_colon(const char *s) {
    char *colon = strrchr(s, ':');
    return colon != NULL && strchr(colon, ']') == NULL ? colon : NULL;
}

static const char *parse_unix(const char *path, struct listen_address *out) {
    if (strncmp(path, "//", 2) == 0) /* unix:///run/x, as URLs write it */
        path += 2;
    if (*path == '\0')
        return "has no path";
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return "has a path that is too long for a socket";
    out->kind = LISTEN_UNIX;
    out->path = mem_strndup(path, strlen(path));
    return NULL;
}

static const char *parse_tcp(const char *text, struct listen_address *out) {
    const char *colon = port_colon(text);
    if (colon == NULL)
        return "has no port";
    const char *wrong = parse_port(colon + 1, &out->port);
    if (wrong == NULL && colon != text)
        wrong = check_host_part(text, (size_t)(colon - text));
    if (wrong != NULL)
        return wrong;
    size_t bracket = text[0] == '[';
    out->kind = LISTEN_TCP;
    if (colon != text)
        out->host = mem_strndup(text + bracket, (size_t)(colon - text) - 2 * bracket);
    return NULL;
}

/* As a URL is written, with or without the slash behind it. */
static const char *parse_url(const char *text, struct listen_address *out) {
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == '/')
        len--;
    char *rest = mem_strndup(text, len);
    const char *wrong = parse_tcp(rest, out);
    free(rest);
    return wrong;
}

static const char *parse_address(const char *text, struct listen_address *out) {
    static const char proxied[] = "proxy+";
    out->proxied = strncmp(text, proxied, strlen(proxied)) == 0;
    if (out->proxied)
        text += strlen(proxied);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, out);
    out->tls = strncmp(text, "https://", 8) == 0;
    if (out->tls || strncmp(text, "http://", 7) == 0)
        return parse_url(strstr(text, "://") + 3, out);
    return parse_tcp(text, out);
}

int listen_address_parse(const char *text, struct listen_address *out, const char **why) {
    struct listen_address address = {0};
    *why = parse_address(text, &address);
    if (*why != NULL)
        return RELAY_EINVAL;
    address.text = mem_strndup(text, strlen(text));
    *out = address;
    return RELAY_OK;
}

void listen_address_fini(struct listen_address *address) {
    free(address->text);
    free(address->host);
    free(address->path);
    *address = (struct listen_address){0};
}

static void lower(char *s) {
    for (; *s != '\0'; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s - 'A' + 'a');
}

const char *check_not_empty(char *value) {
    return *value == '\0' ? "is empty" : NULL;
}

const char *check_redis(char *value) {
    struct redis_url url;
    const char *wrong;
    if (redis_url_parse(value, &url, &wrong) != RELAY_OK)
        return wrong;
    redis_url_fini(&url);
    return NULL;
}

const char *check_prefix(char *value) {
    return names_prefix_check(value);
}

const char *check_host(char *value) {
    const char *colon = port_colon(value);
    if (colon != NULL && strchr(value, ':') == colon)
        return "has a port or a scheme";
    lower(value);
    return check_host_part(value, strlen(value));
}

/* Browsers leave the scheme's own port out of Origin. */
static void drop_default_port(char *origin, char *colon, unsigned port) {
    bool is_default = (strncmp(origin, "https://", 8) == 0 && port == 443) ||
                      (strncmp(origin, "http://", 7) == 0 && port == 80);
    if (is_default)
        *colon = '\0';
}

const char *check_origin(char *value) {
    if (strcmp(value, "*") == 0)
        return NULL;
    lower(value);
    char *host = strstr(value, "://");
    if (host == NULL || !consists_of(value, (size_t)(host - value), LOWER DIGITS "+-."))
        return "has no scheme";
    host += 3;
    if (strpbrk(host, "/?#") != NULL)
        return "has something behind the host and the port (an origin has no path, not even a /)";
    char *colon = port_colon(host);
    unsigned port = 0;
    const char *wrong = colon != NULL ? parse_port(colon + 1, &port) : NULL;
    if (wrong == NULL)
        wrong = check_host_part(host, colon != NULL ? (size_t)(colon - host) : strlen(host));
    if (wrong == NULL && colon != NULL)
        drop_default_port(value, colon, port);
    return wrong;
}

const char *check_network(char *value) {
    struct ip_networks ignored = {0};
    const char *wrong = ip_networks_add(&ignored, value);
    ip_networks_fini(&ignored);
    return wrong;
}

const char *check_cookie(char *value) {
    return consists_of(value, strlen(value), LOWER UPPER DIGITS "!#$%&'*+-.^_`|~")
               ? NULL
               : "is not the name of a cookie";
}

static bool is_loopback(const char *host) {
    struct in_addr v4;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127);
}

/* All of @authority is a host, with a port behind it or not; the port is cut off. */
static const char *check_authority(char *authority) {
    char *colon = port_colon(authority);
    unsigned port = 0;
    const char *wrong = colon != NULL ? parse_port(colon + 1, &port) : NULL;
    if (colon != NULL)
        *colon = '\0';
    return wrong != NULL ? wrong : check_host_part(authority, strlen(authority));
}

const char *check_jwks_url(char *value) {
    bool tls = strncmp(value, "https://", 8) == 0;
    if (!tls && strncmp(value, "http://", 7) != 0)
        return "does not begin with https://";
    for (const char *c = value; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || strchr("#\"<>\\^`{|}", *c) != NULL)
            return "holds a character that an address is not asked for with";
    const char *host = strstr(value, "://") + 3;
    char *authority = mem_strndup(host, strcspn(host, "/?"));
    const char *wrong = strchr(authority, '@') != NULL ? "holds a user or a password" : NULL;
    if (wrong == NULL)
        wrong = check_authority(authority);
    if (wrong == NULL && !tls && !is_loopback(authority))
        wrong = "is asked without TLS, so whoever is on the way could make keys up";
    free(authority);
    return wrong;
}

const char *check_public(char *value) {
    if (strstr(value, "{sub}") != NULL)
        return "has {sub} in it, but whoever comes without a token has no subject";
    return pattern_check(value, strlen(value));
}
