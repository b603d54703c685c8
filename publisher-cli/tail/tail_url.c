/* The URL of a stream; see tail_url.h. */
#include "publisher-cli/tail/tail_url.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"

static const char unreserved[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"; /* RFC 3986 */

static void put_parameter(struct buf *query, const char *name, const char *value) {
    buf_printf(query, "%s%s=", query->len > 0 ? "&" : "", name);
    for (; *value != '\0'; value++)
        if (strchr(unreserved, *value) != NULL)
            buf_putc(query, *value);
        else
            buf_printf(query, "%%%02X", (unsigned)(unsigned char)*value);
}

/* Append a part; nothing where there is none. */
static void get_part(CURLU *u, CURLUPart part, struct buf *to) {
    char *text = NULL;
    if (curl_url_get(u, part, &text, 0) == CURLUE_OK)
        buf_puts(to, text);
    curl_free(text);
}

static CURLUcode set_path(CURLU *u) {
    struct buf path = BUF_INIT;
    get_part(u, CURLUPART_PATH, &path);
    while (path.len > 0 && path.data[path.len - 1] == '/')
        path.data[--path.len] = '\0';
    if (path.len < 4 || strcmp(path.data + path.len - 4, "/sse") != 0)
        buf_puts(&path, "/sse");
    CURLUcode status = curl_url_set(u, CURLUPART_PATH, path.data, 0);
    buf_fini(&path);
    return status;
}

static CURLUcode set_query(CURLU *u, const struct options *o) {
    struct buf query = BUF_INIT;
    get_part(u, CURLUPART_QUERY, &query);
    put_parameter(&query, "as", "json");
    for (size_t i = 0; i < o->topics_count; i++)
        put_parameter(&query, "topic", o->topics[i]);
    if (o->since != NULL)
        put_parameter(&query, "since", o->since);
    if (o->last > 0)
        buf_printf(&query, "&last=%" PRIu64, o->last);
    CURLUcode status = curl_url_set(u, CURLUPART_QUERY, query.data, 0);
    buf_fini(&query);
    return status;
}

int tail_url(const struct options *o, struct buf *url, struct buf *address) {
    static const CURLUPart private_parts[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY};
    CURLU *u = curl_url();
    if (u == NULL)
        abort();
    CURLUcode status = curl_url_set(u, CURLUPART_URL, o->url, 0);
    if (status == CURLUE_OK)
        status = curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    if (status == CURLUE_OK)
        status = set_path(u);
    if (status == CURLUE_OK)
        status = set_query(u, o);
    if (status == CURLUE_OK) {
        get_part(u, CURLUPART_URL, url);
        for (size_t i = 0; i < sizeof(private_parts) / sizeof(private_parts[0]); i++)
            curl_url_set(u, private_parts[i], NULL, 0);
        get_part(u, CURLUPART_URL, address);
    }
    curl_url_cleanup(u);
    return status == CURLUE_OK ? RELAY_OK : RELAY_EINVAL;
}
