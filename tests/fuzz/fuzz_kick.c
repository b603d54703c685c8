/* Kicks, bars and the answer of their script: what is read is written back the same, and is within
 * the bounds that others rely on. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "relay/wire/kick.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

static void check_name(const char *name, size_t len) {
    must(len > 0 && len <= KICK_NAME_MAX_BYTES && memchr(name, '\0', len) == NULL);
    must(utf8_valid(name, len) && !utf8_has_control(name, len));
}

static void read_kick(const char *text, size_t len) {
    struct buf again = BUF_INIT;
    struct kick k;
    if (!kick_read(text, len, &k))
        return;
    check_name(k.name, k.name_len);
    must(k.by < KICK_BYS && k.bar_ms <= KICK_BAR_MAX_MS && (!k.is_lift || k.bar_ms == 0));
    must(memchr(k.answer_to, '\0', sizeof(k.answer_to)) != NULL);
    must(strncmp(k.answer_to, "answer-", 7) == 0);
    kick_put(&again, &k);
    must(again.len == len && memcmp(again.data, text, len) == 0);
    buf_fini(&again);
}

static void read_bar(const char *text, size_t len) {
    struct buf again = BUF_INIT;
    struct kick_bar b;
    if (!kick_bar_read(text, len, &b))
        return;
    check_name(b.name, b.name_len);
    kick_bar_put(&again, &b);
    must(b.by < KICK_BYS && again.len == len && memcmp(again.data, text, len) == 0);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    struct kick_answer answer;
    if (size == 0)
        text = "";
    read_kick(text, size);
    read_bar(text, size);
    if (kick_answer_parse(text, size, &answer) == RELAY_OK)
        must(answer.announced || answer.relays == 0);
    return 0;
}
