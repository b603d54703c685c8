/* What Redis refused, in words; see refusal.h. */
#include "publisher-cli/base/refusal.h"

#include <string.h>

#include "relay/redis/url.h"
#include "relay/wire/publish_script.h"

/* Redis 7: "… script: SHA, on @user_script:12.". Redis 6: "ERR Error running script (call to
 * f_SHA): @user_script:12: …". */
void refusal_put_words(struct buf *out, const char *words) {
    static const char running[] = "ERR Error running script (call to ";
    const char *place = strstr(words, "@user_script:");
    if (strncmp(words, running, sizeof(running) - 1) == 0 && place != NULL) {
        place += strlen("@user_script:");
        place += strspn(place, " 0123456789");
        if (strncmp(place, ": ", 2) == 0)
            words = place + 2;
    }
    const char *end = strstr(words, ", on @user_script:");
    const char *tail = NULL; /* the last, since Redis 8 says "ACL failure in script: " before it */
    for (const char *at = words; end != NULL && (at = strstr(at, " script: ")) != NULL; at++)
        if (at < end)
            tail = at;
    size_t len = tail != NULL ? (size_t)(tail - words) : strlen(words);
    buf_append(out, words, len > 0 && words[len - 1] == '.' ? len - 1 : len);
}

void refusal_put_hint(struct buf *out, const char *words) {
    enum publish_error kind = publish_error_kind(words);
    if (redis_url_is_password_refused(words))
        buf_puts(out, "; a password is given as REDIS_URL=" REDIS_URL_PASSWORD_FORM);
    else if (kind == PUBLISH_DENIED)
        buf_puts(out, "; `sse-publish doctor` names what is missing");
    else if (kind == PUBLISH_READONLY)
        buf_puts(out, "; `sse-publish doctor` names its master");
}

void refusal_put(struct buf *out, const char *words) {
    enum publish_error kind = publish_error_kind(words);
    if (kind == PUBLISH_OTHER) {
        refusal_put_words(out, words);
        return;
    }
    buf_printf(out, "%s (", publish_error_text(kind));
    refusal_put_words(out, words);
    buf_putc(out, ')');
    refusal_put_hint(out, words);
}
