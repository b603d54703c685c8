/* The publish script's answer: what is accepted is nothing but two flags and ids, one space between
 * them, and says so. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/base/err.h"
#include "relay/wire/id.h"
#include "relay/wire/publish_script.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct publish_answer a = {.ids_count = 99};
    struct buf again = BUF_INIT;
    struct event_id parsed;
    const char *id;
    size_t len, count = 0;
    if (publish_answer_parse((const char *)data, size, &a) != RELAY_OK) {
        must(a.ids_count == 99);
        return 0;
    }
    buf_printf(&again, "%d %d", a.announced, a.duplicate);
    for (size_t n = a.ids_count; publish_answer_next(&a, &id, &len); count++) {
        must(count < n && id_parse(id, len, &parsed) == RELAY_OK);
        buf_putc(&again, ' ');
        buf_append(&again, id, len);
    }
    must(count == a.ids_count && count > 0);
    must(again.len == size && memcmp(again.data, data, size) == 0);
    buf_fini(&again);
    return 0;
}
