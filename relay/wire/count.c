/* Questions and answers about subscribers; see count.h. */
#include "relay/wire/count.h"

#include <inttypes.h>
#include <string.h>

#include "relay/wire/topic.h"

static const char answer[] = "answer-";

/* The length of the text before its first space; false: there is none. */
static bool cut(const char *text, size_t len, size_t *word) {
    const char *space = len > 0 ? memchr(text, ' ', len) : NULL;
    *word = space != NULL ? (size_t)(space - text) : 0;
    return space != NULL;
}

bool count_answer_to_is_good(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!(text[i] == '-' || (text[i] >= '0' && text[i] <= '9') ||
              (text[i] >= 'a' && text[i] <= 'z')))
            return false;
    return len > sizeof(answer) - 1 && len <= COUNT_ANSWER_TO_MAX_BYTES &&
           memcmp(text, answer, sizeof(answer) - 1) == 0;
}

bool count_question_read(const char *text, size_t len, struct count_question *out) {
    size_t word;
    if (!cut(text, len, &word) || !count_answer_to_is_good(text, word) ||
        topic_check(text + word + 1, len - word - 1) != NULL)
        return false;
    *out = (struct count_question){.topic = text + word + 1, .topic_len = len - word - 1};
    memcpy(out->answer_to, text, word);
    return true;
}

bool count_answer_read(const char *text, size_t len, struct count_answer *out) {
    enum { DIGITS_MAX = 18 };
    size_t node, digits;
    uint64_t count = 0;
    if (!cut(text, len, &node) || !cut(text + node + 1, len - node - 1, &digits) || digits == 0 ||
        digits > DIGITS_MAX)
        return false;
    const char *number = text + node + 1;
    for (size_t i = 0; i < digits; i++) {
        if (number[i] < '0' || number[i] > '9')
            return false;
        count = count * 10 + (uint64_t)(number[i] - '0');
    }
    *out = (struct count_answer){
        .subscribers = count, .topic = number + digits + 1, .topic_len = len - node - digits - 2};
    return true;
}

void count_question_put(struct buf *out, const char *answer_to, const char *topic,
                        size_t topic_len) {
    buf_printf(out, "%s ", answer_to);
    buf_append(out, topic, topic_len);
}

void count_answer_put(struct buf *out, const char *node, uint64_t subscribers, const char *topic,
                      size_t topic_len) {
    buf_printf(out, "%s %" PRIu64 " ", node, subscribers);
    buf_append(out, topic, topic_len);
}
