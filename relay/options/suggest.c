/* The nearest of some words; see near.h. */
#include "relay/options/suggest.h"

#include <string.h>

enum { LENGTH_LIMIT = 40 };

static size_t least(size_t a, size_t b, size_t c) {
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* How many bytes must be inserted, deleted, replaced, or swapped with the one behind, to get from
 * @a to @b (optimal string alignment), both shorter than LENGTH_LIMIT. */
static size_t distance(const char *a, const char *b) {
    size_t d[LENGTH_LIMIT][LENGTH_LIMIT]; /* of the first i bytes of @a from the first j of @b */
    size_t a_len = strlen(a), b_len = strlen(b);
    for (size_t i = 0; i <= a_len; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= b_len; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a_len; i++)
        for (size_t j = 1; j <= b_len; j++) {
            size_t replaced = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(replaced, d[i - 1][j] + 1, d[i][j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1, d[i][j]);
        }
    return d[a_len][b_len];
}

void suggest_init(struct suggestion *n, const char *wanted) {
    size_t len = strlen(wanted);
    *n = (struct suggestion){.wanted = wanted, .best = len < LENGTH_LIMIT ? len / 3 + 1 : 0};
}

bool suggest_try(struct suggestion *n, const char *word) {
    if (n->best == 0 || strlen(word) >= LENGTH_LIMIT)
        return false;
    size_t d = distance(n->wanted, word);
    bool is_nearer = d < n->best;
    n->best = is_nearer ? d : n->best;
    return is_nearer;
}
