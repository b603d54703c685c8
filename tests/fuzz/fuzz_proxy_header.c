/* What comes first on a listener of the PROXY protocol: read the same however it was cut, never a
 * byte behind the header, and as a reader says who has all of it at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/http/proxy_header.h"
#include "tests/fuzz/fuzz.h"

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
enum { SIGNATURE = sizeof(signature) - 1 };

static void must(bool condition) {
    if (!condition)
        abort();
}

static size_t feed_in_pieces(struct proxy_header *h, const uint8_t *data, size_t size,
                             size_t piece) {
    size_t at = 0;
    while (at < size && h->state == PROXY_HEADER_READING) {
        size_t n = piece < size - at ? piece : size - at;
        size_t taken = proxy_header_feed(h, data + at, n);
        must(taken <= n && (taken == n || h->state != PROXY_HEADER_READING));
        at += taken;
    }
    return at;
}

static bool begins(const uint8_t *data, size_t size, const char *with, size_t len) {
    return memcmp(data, with, size < len ? size : len) == 0;
}

/* A whole one of version 2, which is @len bytes long. */
static void check_binary(const struct proxy_header *h, const uint8_t *data, size_t len) {
    unsigned command = data[12], family = data[13];
    bool names = command == 0x21 && family >> 4 != 0 && (family & 0xf) != 0;
    must(command == 0x20 || command == 0x21);
    must(len == 16u + ((size_t)data[14] << 8) + data[15]);
    must(h->named == names);
    struct ip_address expected = {0};
    if (names && family >> 4 == 1)
        expected = ip_address_v4(data + 16);
    else if (names && family >> 4 == 2)
        expected = ip_address_v6(data + 16);
    must(ip_address_equal(&h->source, &expected));
    must(!names || len >= (family >> 4 == 1 ? 28u : family >> 4 == 2 ? 52u : 232u));
}

/* A whole line. */
static void check_line(const struct proxy_header *h, const uint8_t *data, size_t len) {
    char source[64], destination[64], line[128], again[256];
    unsigned from, to;
    struct ip_address parsed;
    must(len <= PROXY_HEADER_LINE && data[len - 2] == '\r' && data[len - 1] == '\n');
    if (!h->named) {
        must(len >= 15 && memcmp(data, "PROXY UNKNOWN", 13) == 0);
        return;
    }
    memcpy(line, data, len);
    line[len] = '\0';
    must(sscanf(line, "PROXY TCP%*1[46] %63s %63s %u %u", source, destination, &from, &to) == 4);
    must(from <= 65535 && to <= 65535);
    must(ip_address_parse(source, strlen(source), &parsed));
    must(ip_address_equal(&parsed, &h->source));
    snprintf(again, sizeof(again), "PROXY TCP%c %s %s %u %u\r\n", line[9], source, destination,
             from, to);
    must(strcmp(again, line) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t pieces[] = {1, 2, 3, 7, 16, 64};
    struct proxy_header whole = {0};
    size_t taken = proxy_header_feed(&whole, data, size);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct proxy_header h = {0};
        must(feed_in_pieces(&h, data, size, pieces[i]) == taken);
        must(h.state == whole.state && h.named == whole.named);
        must(ip_address_equal(&h.source, &whole.source));
    }
    bool header = begins(data, size, "PROXY ", 6) || begins(data, size, signature, SIGNATURE);
    must((whole.state == PROXY_HEADER_MISSING) == !header);
    if (whole.state == PROXY_HEADER_READING)
        must(taken == size && !whole.named);
    else if (whole.state != PROXY_HEADER_DONE)
        must(!whole.named);
    else if (data[0] == 'P')
        check_line(&whole, data, taken);
    else
        check_binary(&whole, data, taken);
    return 0;
}
