/* Query strings: what is decoded can be encoded and decoded again, names compare as their decoded
 * bytes do, and a list of topics holds topics alone, each once. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/http/query.h"
#include "relay/wire/topic.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_TOPICS = 20 };

static void must(bool condition) {
    if (!condition)
        abort();
}

static bool within(struct span part, struct span whole) {
    return part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static void check_decoding(struct span raw) {
    struct buf first = BUF_INIT, encoded = BUF_INIT, second = BUF_INIT;
    if (query_decode(raw, &first) == RELAY_OK) {
        must(first.len <= raw.len);
        for (size_t i = 0; i < first.len; i++)
            buf_printf(&encoded, "%%%02x", (unsigned char)first.data[i]);
        must(query_decode((struct span){encoded.data, encoded.len}, &second) == RELAY_OK);
        must(second.len == first.len);
        must(first.len == 0 || memcmp(first.data, second.data, first.len) == 0);
        must(query_name_is(raw, "topic") ==
             (first.len == 5 && memcmp(first.data, "topic", 5) == 0));
    } else {
        must(first.len == 0 && !query_name_is(raw, "topic"));
        must(raw.len > 0 && memchr(raw.data, '%', raw.len) != NULL);
    }
    buf_fini(&first);
    buf_fini(&encoded);
    buf_fini(&second);
}

static void check_topics(const struct topic_list *list) {
    struct span bytes = {list->bytes.data, list->bytes.len};
    must(list->len >= 1 && list->len <= MAX_TOPICS);
    for (size_t i = 0; i < list->len; i++) {
        struct span t = list->topics[i];
        must(within(t, bytes) && topic_check(t.data, t.len) == NULL);
        for (size_t k = 0; k < i; k++)
            must(list->topics[k].len != t.len || memcmp(list->topics[k].data, t.data, t.len) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span query = {(const char *)data, size}, rest = query, name, value;
    struct topic_list list;
    struct buf why = BUF_INIT;
    while (query_next(&rest, &name, &value)) {
        must(within(name, query) && within(value, query) && within(rest, query));
        must(value.data != NULL || value.len == 0);
        check_decoding(name);
        check_decoding(value);
    }
    if (topic_list_parse(query, MAX_TOPICS, &list, &why) == RELAY_OK) {
        must(why.len == 0);
        check_topics(&list);
        topic_list_fini(&list);
    } else {
        must(why.len > 0);
    }
    buf_fini(&why);
    return 0;
}
