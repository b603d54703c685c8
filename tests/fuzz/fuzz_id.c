/* Ids: one id has one text, and the order of two is an order. The input is two ids with a space
 * between. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/wire/id.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

static bool read_id(const char *text, size_t len, struct event_id *id) {
    struct buf again = BUF_INIT;
    if (id_parse(text, len, id) != RELAY_OK)
        return false;
    id_format(&again, id);
    must(again.len == len && memcmp(again.data, text, len) == 0);
    must(len <= ID_TEXT_MAX_BYTES);
    must(id_compare(id, id) == 0);
    buf_fini(&again);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    const char *space = size == 0 ? NULL : memchr(text, ' ', size);
    size_t len = space == NULL ? size : (size_t)(space - text);
    struct event_id a, b;
    if (!read_id(text, len, &a) || space == NULL || !read_id(space + 1, size - len - 1, &b))
        return 0;
    memcpy(b.birth, a.birth, sizeof(b.birth));
    int order = id_compare(&a, &b);
    must((order > 0) == (id_compare(&b, &a) < 0));
    must((order == 0) == (a.epoch == b.epoch && a.ms == b.ms && a.seq == b.seq));
    return 0;
}
