/* The data of an event as `tail` prints it: the first byte says how. On a terminal nothing acts on
 * it; as JSON it is the same JSON, on one line; what is refused leaves nothing. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/tail/tail_print.h"
#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

/* No control character but the tab behind a word or in a line, and the end of each line. */
static void check_terminal(const struct buf *text) {
    must(text->len > 0 && text->data[text->len - 1] == '\n' && utf8_valid(text->data, text->len));
    for (size_t i = 0; i < text->len; i++) {
        char c = text->data[i];
        must(c == '\n' || c == '\t' || !utf8_has_control(&c, 1));
        must(c != '\xc2' || !utf8_has_control(text->data + i, 2));
    }
}

static void check_json(const struct buf *text, const struct event_stream_event *event) {
    json_t *before = json_loadb(event->data, event->data_len, JSON_ALLOW_NUL, NULL);
    json_t *after = json_loadb(text->data, text->len, JSON_ALLOW_NUL, NULL);
    must(before != NULL && json_equal(before, after));
    must(memchr(text->data, '\n', text->len) == text->data + text->len - 1);
    json_decref(before);
    json_decref(after);
}

static void check_reset(struct tail_print *p, const struct event_stream_event *event) {
    size_t before = p->text.len;
    if (tail_print_reset(p, event, "id") != RELAY_OK || !p->is_json)
        must(p->text.len == before);
    else
        must(memchr(p->text.data + before, '\n', p->text.len - before) ==
             p->text.data + p->text.len - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    char *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    copy[size - 1] = '\0';
    struct event_stream_event event = {.name = "", .data = copy, .data_len = size - 1};
    struct tail_print p = {.err = fopen("/dev/null", "w"),
                           .is_json = (data[0] & 1) != 0,
                           .has_topics = (data[0] & 2) != 0,
                           .is_terminal = (data[0] & 1) == 0};
    must(p.err != NULL);
    if (tail_print_event(&p, &event) != RELAY_OK)
        must(p.text.len == 0);
    else if (p.is_json)
        check_json(&p.text, &event);
    else
        check_terminal(&p.text);
    check_reset(&p, &event);
    fclose(p.err);
    tail_print_fini(&p);
    free(copy);
    return 0;
}
