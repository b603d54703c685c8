/* A GET by libcurl; see get.h. */
#include "relay/jwks/get.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "relay/base/err.h"

enum { MAX_AGE_MAX_S = 10 * 365 * 24 * 3600 };

void jwks_get_global_init(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

void jwks_get_global_fini(void) {
    curl_global_cleanup();
}

void jwks_get_init(struct jwks_get *g, const char *url, const char *ca_file) {
    memset(g, 0, sizeof(*g));
    g->url = url;
    g->ca_file = ca_file;
    atomic_init(&g->aborted, false);
}

void jwks_get_abort(struct jwks_get *g) {
    atomic_store(&g->aborted, true);
}

void jwks_get_fini(struct jwks_get *g) {
    buf_fini(&g->body);
    buf_fini(&g->why);
}

/* ---- what libcurl calls ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg) {
    struct jwks_get *g = arg;
    size_t len = size * count;
    if (g->body.len + len > JWKS_MAX_BYTES) {
        buf_puts(&g->why, "the answer is longer than 1 MiB");
        return 0;
    }
    buf_append(&g->body, bytes, len);
    return len;
}

/* The number behind `max-age=` in a Cache-Control. */
static void read_max_age(struct jwks_get *g, const char *value) {
    static const char name[] = "max-age=";
    for (; *value != '\0'; value++) {
        if (strncasecmp(value, name, sizeof(name) - 1) != 0)
            continue;
        value += sizeof(name) - 1;
        if (*value < '0' || *value > '9')
            return;
        unsigned long long seconds = strtoull(value, NULL, 10);
        g->has_max_age = true;
        g->max_age_ms = 1000 * (seconds < MAX_AGE_MAX_S ? seconds : MAX_AGE_MAX_S);
        return;
    }
}

static size_t on_header(char *line, size_t size, size_t count, void *arg) {
    static const char name[] = "Cache-Control:";
    enum { LINE_MAX_BYTES = 512 };
    size_t len = size * count, name_len = sizeof(name) - 1;
    char text[LINE_MAX_BYTES];
    if (len > name_len && len < sizeof(text) && strncasecmp(line, name, name_len) == 0) {
        memcpy(text, line, len);
        text[len] = '\0';
        read_max_age(arg, text + name_len);
    }
    return len;
}

/* libcurl asks once a second, and whenever something happens. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    struct jwks_get *g = arg;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&g->aborted);
}

/* ---- asking ---- */

static void set_protocol(CURL *easy, const char *url) {
    bool plain = strncmp(url, "http://", 7) == 0;
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(plain ? CURLPROTO_HTTP : CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A resolver that hangs must not hold up the relay's end. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

static void set_up(struct jwks_get *g, CURL *easy, struct curl_slist *headers, char *curl_says) {
    curl_easy_setopt(easy, CURLOPT_URL, g->url);
    set_protocol(easy, g->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sse-relay/" SSE_VERSION);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl_says);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)JWKS_CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)JWKS_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (g->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, g->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* these, and nobody beside them */
    }
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, g);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, g);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, g);
}

static void judge(struct jwks_get *g, CURL *easy, CURLcode code, const char *curl_says) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (g->why.len > 0)
        return;
    if (code != CURLE_OK)
        buf_puts(&g->why, *curl_says != '\0' ? curl_says : curl_easy_strerror(code));
    else if (status >= 300 && status < 400)
        buf_printf(&g->why,
                   "the answer is a redirect (%ld), which is not followed: configure the address "
                   "that it leads to",
                   status);
    else if (status != 200)
        buf_printf(&g->why, "the answer's status is %ld", status);
}

int jwks_get_run(struct jwks_get *g) {
    char curl_says[CURL_ERROR_SIZE] = "";
    buf_reset(&g->body);
    buf_reset(&g->why);
    g->has_max_age = false;
    CURL *easy = curl_easy_init();
    struct curl_slist *headers =
        curl_slist_append(NULL, "Accept: application/jwk-set+json, application/json");
    if (easy == NULL || headers == NULL) {
        buf_puts(&g->why, "memory is short");
    } else {
        set_up(g, easy, headers, curl_says);
        CURLcode code = curl_easy_perform(easy);
        judge(g, easy, code, curl_says);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    return g->why.len == 0 ? RELAY_OK : RELAY_EIO;
}
