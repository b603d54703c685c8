/* Lists of addresses in header fields: whatever a client wrote there, what a trusted proxy wrote
 * behind it counts, and nothing does from who is not trusted. A line of the input is a field. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/http/forwarded.h"
#include "tests/fuzz/fuzz.h"

enum { FIELDS = 20, BYTES_MAX = 4096 };

static const char *const names[] = {"", "X-Forwarded-For", "Forwarded"};
static const char *const written[] = {"", "198.51.100.7", "for=198.51.100.7;proto=https"};

static void must(bool condition) {
    if (!condition)
        abort();
}

/* A request with those fields. */
struct asked {
    struct request request;
    struct request_field fields[2 * FIELDS];
    struct buf bytes;
};

static struct place put(struct buf *out, const void *bytes, size_t len) {
    struct place p = {(uint16_t)out->len, (uint16_t)len};
    buf_append(out, bytes, len);
    return p;
}

static void add_field(struct asked *a, const char *name, const void *value, size_t len) {
    struct request_field *f = &a->fields[a->request.fields_len++];
    f->name = put(&a->bytes, name, strlen(name));
    f->value = put(&a->bytes, value, len);
}

/* @data's lines; @behind is written behind the last one of them, or as a field of its own. */
static void ask(struct asked *a, enum forwarded_header which, const uint8_t *data, size_t size,
                const char *behind, bool own_field) {
    *a = (struct asked){.bytes = BUF_INIT};
    buf_puts(&a->bytes, "");
    size_t at = 0;
    for (int n = 0; n < FIELDS; n++) {
        const uint8_t *end = at < size ? memchr(data + at, '\n', size - at) : NULL;
        size_t len = end != NULL && n < FIELDS - 1 ? (size_t)(end - data) - at : size - at;
        bool last = at + len >= size;
        struct buf value = BUF_INIT;
        buf_append(&value, data + at, len);
        if (last && behind != NULL && !own_field)
            buf_printf(&value, ",%s", behind);
        add_field(a, names[which], value.data, value.len);
        buf_fini(&value);
        at += len + 1;
        if (last)
            break;
    }
    if (behind != NULL && own_field)
        add_field(a, names[which], behind, strlen(behind));
    a->request.bytes = a->bytes.data;
    a->request.fields = a->fields;
}

static struct ip_address client_of(enum forwarded_header which, const struct ip_networks *trusted,
                                   struct asked *a, struct ip_address peer) {
    struct ip_address client = forwarded_client(which, trusted, &a->request, peer);
    buf_fini(&a->bytes);
    return client;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ip_networks trusted = {0};
    struct ip_address proxy = ip_address_v4("\12\0\0\1"), stranger = ip_address_v4("\300\0\2\1");
    struct ip_address told = ip_address_v4("\306\063\144\7");
    if (size > BYTES_MAX)
        return 0;
    must(ip_networks_add(&trusted, "10.0.0.0/8") == NULL);
    must(ip_networks_add(&trusted, "fd00::/8") == NULL);
    for (int which = FORWARDED_X_FORWARDED_FOR; which <= FORWARDED_FORWARDED; which++) {
        struct asked a;
        ask(&a, (enum forwarded_header)which, data, size, NULL, false);
        struct ip_address client = client_of((enum forwarded_header)which, &trusted, &a, stranger);
        must(ip_address_equal(&client, &stranger));
        ask(&a, (enum forwarded_header)which, data, size, NULL, false);
        client = client_of((enum forwarded_header)which, &trusted, &a, proxy);
        must(client.version == 4 || client.version == 6);
        for (int own = 0; own < 2; own++) {
            ask(&a, (enum forwarded_header)which, data, size, written[which], own == 1);
            client = client_of((enum forwarded_header)which, &trusted, &a, proxy);
            must(ip_address_equal(&client, &told));
        }
    }
    ip_networks_fini(&trusted);
    return 0;
}
