/* URLs of Redis: whatever is accepted is whole, and what is shown of it leads to the same place. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/url.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

static void check(const struct redis_url *url) {
    must((url->host == NULL) != (url->path == NULL));
    must(url->host == NULL || url->port >= 1);
    must(url->port <= 65535);
    must(url->path == NULL || url->path[0] == '/');
    must(url->user == NULL || url->password != NULL);
}

static bool is_same(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Nothing in the host or the path that would have to be written in another way. */
static bool is_plain(const struct redis_url *url) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/";
    const char *place = url->host != NULL ? url->host : url->path;
    if (strspn(place, plain) != strlen(place))
        return false;
    return url->host != NULL ? strchr(place, '/') == NULL : strncmp(place, "//", 2) != 0;
}

/* What is shown has no secret, and is a URL again. */
static void check_described(const struct redis_url *url) {
    struct buf text = BUF_INIT;
    struct redis_url again;
    const char *why;
    redis_url_describe(url, &text);
    if (is_plain(url)) {
        must(redis_url_parse(text.data, &again, &why) == RELAY_OK);
        must(is_same(again.host, url->host) && is_same(again.path, url->path));
        must(again.port == url->port || url->path != NULL);
        must(again.db == url->db && again.user == NULL && again.password == NULL);
        redis_url_fini(&again);
    }
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = mem_strndup((const char *)data, size);
    struct redis_url url;
    const char *why = NULL;
    if (redis_url_parse(text, &url, &why) == RELAY_OK) {
        check(&url);
        check_described(&url);
        redis_url_fini(&url);
    } else {
        must(why != NULL);
    }
    free(text);
    return 0;
}
