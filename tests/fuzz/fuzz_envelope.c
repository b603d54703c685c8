/* Messages on a channel: whatever is accepted keeps the rules, and is the same event after it was
 * written and read once more. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/wire/envelope.h"
#include "relay/wire/id.h"
#include "relay/wire/topic.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

static void check_ids(const struct envelope *e) {
    struct event_id id, prev;
    must(id_parse(e->id, e->id_len, &id) == RELAY_OK);
    if (e->prev_len == 1 && e->prev[0] == '0')
        return;
    must(id_parse(e->prev, e->prev_len, &prev) == RELAY_OK);
    must(strcmp(id.birth, prev.birth) != 0 || id_compare(&prev, &id) < 0);
}

static void check_event(const struct event *event) {
    must(event->data != NULL);
    must(data_check(event->data, event->data_len) == NULL);
    must(event_name_check(event->name, event->name_len) == NULL);
    must(event->retry_ms == 0 || retry_check(event->retry_ms) == NULL);
}

static void check_same(const struct event *a, const struct event *b) {
    must(a->data_len == b->data_len && memcmp(a->data, b->data, a->data_len) == 0);
    must(a->name_len == b->name_len);
    must(a->name_len == 0 || memcmp(a->name, b->name, a->name_len) == 0);
    must(a->retry_ms == b->retry_ms);
}

/* One space behind the brace makes jansson read what was read in our own form: it must be the same
 * event. */
static void check_spaced(const struct envelope *e, const char *message, size_t size) {
    const char *brace = e->text != NULL || e->owned == NULL ? memchr(message, '{', size) : NULL;
    struct envelope spaced;
    const char *why = NULL;
    if (brace == NULL || size < 5 || memcmp(message, "sse1 ", 5) != 0)
        return;
    struct buf copy = BUF_INIT;
    size_t head = (size_t)(brace - message) + 1;
    buf_append(&copy, message, head);
    buf_putc(&copy, ' ');
    buf_append(&copy, message + head, size - head);
    must(envelope_decode(copy.data, copy.len, &spaced, &why) == RELAY_OK);
    must(spaced.owned != NULL);
    check_same(&e->event, &spaced.event);
    envelope_fini(&spaced);
    buf_fini(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct envelope first, second;
    struct buf message = BUF_INIT;
    const char *why = NULL;
    if (envelope_decode((const char *)data, size, &first, &why) != RELAY_OK) {
        must(why != NULL);
        return 0;
    }
    if (first.durable)
        check_ids(&first);
    check_event(&first.event);
    check_spaced(&first, (const char *)data, size);
    envelope_encode_live(&message, &first.event);
    must(envelope_decode(message.data, message.len, &second, &why) == RELAY_OK);
    must(!second.durable);
    check_same(&first.event, &second.event);
    envelope_fini(&second);
    envelope_fini(&first);
    buf_fini(&message);
    return 0;
}
