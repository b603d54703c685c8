/* Kicks as text; see kick.h. */
#include "relay/wire/kick.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "relay/wire/topic.h"

/* Made by embed.sh. */
extern const unsigned char asset_kick_lua[];
extern const size_t asset_kick_lua_len;

static const char *const by_names[KICK_BYS] = {"subject", "token", "topic"};

const char *kick_by_name(enum kick_by by) {
    return by_names[by];
}

const char *kick_name_check(enum kick_by by, const char *name, size_t len) {
    if (by == KICK_TOPIC)
        return topic_check(name, len);
    if (len == 0)
        return "is empty";
    if (len > KICK_NAME_MAX_BYTES)
        return "is longer than 256 bytes";
    if (!utf8_valid(name, len))
        return "is not UTF-8";
    return utf8_has_control(name, len) ? "holds a control character" : NULL;
}

/* ---- reading ---- */

/* What is left of a text. */
struct rest {
    const char *at, *end;
};

/* Cut a word and the space behind it off @rest; false: there is no space. */
static bool take_word(struct rest *rest, const char **word, size_t *len) {
    size_t left = (size_t)(rest->end - rest->at);
    const char *space = left > 0 ? memchr(rest->at, ' ', left) : NULL;
    if (space == NULL)
        return false;
    *word = rest->at;
    *len = (size_t)(space - rest->at);
    rest->at = space + 1;
    return true;
}

/* Digits as we write them: no zeros in front. */
static bool read_number(const char *text, size_t len, uint64_t most, uint64_t *out) {
    enum { DIGITS_MAX = 18 };
    uint64_t n = 0;
    if (len == 0 || len > DIGITS_MAX || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text[i] - '0');
    }
    *out = n;
    return n <= most;
}

static bool read_by(const char *word, size_t len, enum kick_by *by) {
    for (unsigned i = 0; i < KICK_BYS; i++)
        if (strlen(by_names[i]) == len && memcmp(by_names[i], word, len) == 0) {
            *by = i;
            return true;
        }
    return false;
}

static bool read_name(const struct rest *rest, struct kick_bar *out) {
    out->name = rest->at;
    out->name_len = (size_t)(rest->end - rest->at);
    return kick_name_check(out->by, out->name, out->name_len) == NULL;
}

bool kick_bar_read(const char *text, size_t len, struct kick_bar *out) {
    struct rest rest = {text, text + len};
    struct kick_bar b = {.by = KICK_SUBJECT};
    const char *by;
    size_t by_len;
    if (!take_word(&rest, &by, &by_len) || !read_by(by, by_len, &b.by) || !read_name(&rest, &b))
        return false;
    *out = b;
    return true;
}

bool kick_read(const char *text, size_t len, struct kick *out) {
    struct rest rest = {text, text + len};
    struct kick k = {.by = KICK_SUBJECT};
    struct kick_bar b = {.by = KICK_SUBJECT};
    const char *answer_to, *by, *ms;
    size_t answer_to_len, by_len, ms_len;
    if (!take_word(&rest, &answer_to, &answer_to_len) ||
        !count_answer_to_is_good(answer_to, answer_to_len) || !take_word(&rest, &by, &by_len) ||
        !read_by(by, by_len, &b.by) || !take_word(&rest, &ms, &ms_len) || !read_name(&rest, &b))
        return false;
    k.is_lift = ms_len == 1 && ms[0] == '-';
    if (!k.is_lift && !read_number(ms, ms_len, KICK_BAR_MAX_MS, &k.bar_ms))
        return false;
    memcpy(k.answer_to, answer_to, answer_to_len);
    k.by = b.by;
    k.name = b.name;
    k.name_len = b.name_len;
    *out = k;
    return true;
}

/* ---- writing ---- */

void kick_put(struct buf *out, const struct kick *k) {
    buf_printf(out, "%s %s ", k->answer_to, by_names[k->by]);
    if (k->is_lift)
        buf_puts(out, "- ");
    else
        buf_printf(out, "%" PRIu64 " ", k->bar_ms);
    buf_append(out, k->name, k->name_len);
}

void kick_bar_put(struct buf *out, const struct kick_bar *b) {
    buf_printf(out, "%s ", by_names[b->by]);
    buf_append(out, b->name, b->name_len);
}

/* ---- the script ---- */

void kick_script_put(struct buf *out) {
    buf_append(out, asset_kick_lua, asset_kick_lua_len);
}

int kick_answer_parse(const char *text, size_t len, struct kick_answer *out) {
    struct rest rest = {text, text + len};
    struct kick_answer a = {.announced = true};
    const char *relays, *ends;
    size_t relays_len, ends_len;
    uint64_t found;
    if (!take_word(&rest, &relays, &relays_len) || !take_word(&rest, &ends, &ends_len))
        return RELAY_EINVAL;
    if (relays_len == 1 && relays[0] == '-')
        a.announced = false;
    else if (!read_number(relays, relays_len, UINT64_MAX, &a.relays))
        return RELAY_EINVAL;
    if (!read_number(ends, ends_len, UINT64_MAX, &a.ends_ms) ||
        !read_number(rest.at, (size_t)(rest.end - rest.at), 1, &found))
        return RELAY_EINVAL;
    a.found = found == 1;
    *out = a;
    return RELAY_OK;
}
