/* Lines of NDJSON: what is JSON is what jansson says is JSON, the compact form is a fixed point and
 * reads as the same value, and what a line says keeps the rules of relay/wire. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/input/event_line.h"
#include "publisher-cli/input/json_text.h"
#include "relay/base/err.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

/* jansson refuses numbers that no double holds and nesting at another depth, and takes a NUL behind
 * a value for its end; the rest has to be the same. */
static bool is_beyond_jansson(const json_error_t *error) {
    return json_error_code(error) == json_error_numeric_overflow ||
           json_error_code(error) == json_error_stack_overflow;
}

static void check_text(const char *text, size_t len) {
    enum { FLAGS = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL };
    struct buf first = BUF_INIT, second = BUF_INIT;
    size_t at;
    json_error_t error;
    const char *wrong = json_text_compact(text, len, &first, &at);
    json_t *tree = json_loadb(text, len, FLAGS, &error);
    must(wrong == NULL || at <= len);
    must((wrong == NULL) == (tree != NULL) || is_beyond_jansson(&error) ||
         (wrong != NULL && (strcmp(wrong, "nested too deeply") == 0 || memchr(text, 0, len))));
    if (wrong == NULL) {
        must(first.len <= len);
        must(json_text_compact(first.data, first.len, &second, &at) == NULL);
        must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
        json_t *again = json_loadb(first.data, first.len, FLAGS, &error);
        must((again != NULL) == (tree != NULL) && (tree == NULL || json_equal(tree, again)));
        json_decref(again);
    }
    json_decref(tree);
    buf_fini(&first);
    buf_fini(&second);
}

static void check_line(const char *text, size_t len) {
    struct event_line l;
    event_line_init(&l);
    if (event_line_read(&l, text, len) == RELAY_OK) {
        const struct event *e = &l.given.event;
        must(l.given.topics_count <= EVENT_LINE_TOPICS_MAX);
        for (size_t i = 0; i < l.given.topics_count; i++)
            must(topic_check(l.topics[i].name, l.topics[i].len) == NULL);
        must(event_line_is_relays(&l) ||
             (e->data != NULL && event_name_check(e->name, e->name_len) == NULL));
        must(e->data == NULL || data_check(e->data, e->data_len) == NULL);
        must(e->retry_ms == 0 || retry_check(e->retry_ms) == NULL);
        must(l.given.key == NULL || publish_key_check(l.given.key, l.given.key_len) == NULL);
        must(l.given.history <= PUBLISH_HISTORY_MAX);
    } else {
        must(l.why.len > 0);
    }
    event_line_fini(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_text((const char *)data, size);
    check_line((const char *)data, size);
    return 0;
}
