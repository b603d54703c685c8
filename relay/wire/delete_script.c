/* Deleting a topic; see delete_script.h. */
#include "relay/wire/delete_script.h"

#include <string.h>

#include "relay/base/err.h"
#include "relay/wire/id.h"
#include "relay/wire/publish_script.h"

/* Made by embed.sh. */
extern const unsigned char asset_delete_lua[];
extern const size_t asset_delete_lua_len;

void delete_script_put(struct buf *out) {
    size_t len;
    const char *publish = publish_script(&len);
    buf_puts(out, "local function publish(KEYS, ARGV)\n");
    buf_append(out, publish, len);
    buf_puts(out, "\nend\n");
    buf_append(out, asset_delete_lua, asset_delete_lua_len);
}

void delete_script_put_void(struct buf *out, const char *prefix) {
    buf_printf(out, "%s:relay.nobody", prefix);
}

/* Cut a word and the space behind it off @rest. */
static bool take_word(const char **rest, const char *end, const char **word, size_t *len) {
    const char *space = *rest < end ? memchr(*rest, ' ', (size_t)(end - *rest)) : NULL;
    if (space == NULL)
        return false;
    *word = *rest;
    *len = (size_t)(space - *rest);
    *rest = space + 1;
    return true;
}

static bool read_count(const char *text, size_t len, uint64_t *out) {
    enum { DIGITS_MAX = 19 };
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return len > 0 && len <= DIGITS_MAX;
}

int delete_answer_parse(const char *text, size_t len, struct delete_answer *out) {
    static const char none[] = "none";
    const char *end = text + len, *announced, *entries;
    size_t announced_len, entries_len;
    struct delete_answer answer = {.found = true};
    struct event_id id;
    if (len == sizeof(none) - 1 && memcmp(text, none, len) == 0) {
        *out = (struct delete_answer){.found = false};
        return RELAY_OK;
    }
    if (!take_word(&text, end, &announced, &announced_len) ||
        !take_word(&text, end, &entries, &entries_len) || announced_len != 1 ||
        (announced[0] != '0' && announced[0] != '1') ||
        !read_count(entries, entries_len, &answer.entries) ||
        id_parse(text, (size_t)(end - text), &id) != RELAY_OK)
        return RELAY_EINVAL;
    answer.announced = announced[0] == '1';
    answer.id = text;
    answer.id_len = (size_t)(end - text);
    *out = answer;
    return RELAY_OK;
}
