/* Kicks: all streams of a subject, of a token or of a topic end, on every node at once; and with a
 * bar they may not come back before it ends.
 *
 *   PUBLISH <prefix>:relay.kick  answer-<word> subject|token|topic <ms> <name>
 *
 * The ms are how long the bar lasts; 0: there is none; `-`: the bar that there is is lifted, and no
 * stream ends. Each node answers as in count.h, with how many streams it ended and the name. Bars
 * are kept in the sorted set names_bars(), `<by> <name>` by when they end on Redis's clock, so that
 * a node that was not there learns of them. kick.lua does both in one step. Pure; any thread. */
#ifndef RELAY_WIRE_KICK_H
#define RELAY_WIRE_KICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/wire/count.h"

#define KICK_CHANNEL "kick" /* for names_probe_channel() */

enum {
    KICK_NAME_MAX_BYTES = 256,
    KICK_BARS_MAX = 10000, /* at a time, in one Redis */
    KICK_BAR_MIN_MS = 1000
};
#define KICK_BAR_MAX_MS (UINT64_C(365) * 24 * 3600 * 1000)

/* What the name of a kick is. */
enum kick_by {
    KICK_SUBJECT, /* `sub` of tokens */
    KICK_TOKEN,   /* `jti` of a token */
    KICK_TOPIC,
    KICK_BYS
};

struct kick {
    enum kick_by by;
    bool is_lift;
    uint64_t bar_ms;  /* 0: none */
    const char *name; /* within the text */
    size_t name_len;
    char answer_to[COUNT_ANSWER_TO_MAX_BYTES + 1]; /* for names_probe_channel() */
};

/* A bar, as Redis keeps it. */
struct kick_bar {
    enum kick_by by;
    const char *name; /* within the text */
    size_t name_len;
};

/* `subject`, `token`, `topic`. Static storage. */
const char *kick_by_name(enum kick_by by);

/* A topic is one of topic.h; a subject or a token's name is 1 to 256 bytes of UTF-8 without control
 * characters. Returns NULL, or what is wrong, as topic_check(). */
const char *kick_name_check(enum kick_by by, const char *name, size_t len);

/* False where the text is none. */
bool kick_read(const char *text, size_t len, struct kick *out);
bool kick_bar_read(const char *text, size_t len, struct kick_bar *out);

/* Append one. */
void kick_put(struct buf *out, const struct kick *k);
void kick_bar_put(struct buf *out, const struct kick_bar *b);

/* ---- the script ---- */

/* Append the text of kick.lua, which says what its KEYS and ARGV are. */
void kick_script_put(struct buf *out);

struct kick_answer {
    bool announced;   /* the user may publish on the relays' channel */
    uint64_t relays;  /* that got the message */
    uint64_t ends_ms; /* of the bar, since 1970; 0: there is none */
    bool found;       /* a bar was lifted */
};

/* Returns RELAY_OK, or RELAY_EINVAL where @text is no answer of the script. */
int kick_answer_parse(const char *text, size_t len, struct kick_answer *out);

#endif
