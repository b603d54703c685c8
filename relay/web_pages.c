/* Health, metrics and the console as pages; see pages.h. */
#include "relay/web_pages.h"

#include "relay/admin/assets.h"
#include "relay/base/clock.h"

enum { CERTIFICATES_SHOWN = 64 };

static const struct field no_store[] = {FIELD("Cache-Control", "no-store"), {NULL, {NULL, 0}}};

/* Nothing foreign is loaded, nothing inline runs, nobody frames the page. */
static const struct field console_fields[] = {
    FIELD("Cache-Control", "no-cache"),
    FIELD("Content-Security-Policy",
          "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
          "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    FIELD("Referrer-Policy", "no-referrer"),
    {NULL, {NULL, 0}}};

static bool is_ready(struct pages *p, struct buf *why) {
    if (atomic_load(&p->leaving)) {
        buf_puts(why, "draining: this node is going down");
        return false;
    }
    if (p->token_keys->auth != NULL && auth_awaits_keys(p->token_keys->auth)) {
        buf_puts(why, "the keys of tokens were not fetched from --token-jwks-url yet");
        return false;
    }
    return bus_ready(p->bus_options, p->bus_metrics, clock_mono_ms(), why);
}

static void health(void *arg, struct http_page *page) {
    (void)arg;
    page->fields = no_store;
    buf_puts(&page->body, "ok\n");
}

static void readiness(void *arg, struct http_page *page) {
    struct buf why = BUF_INIT;
    page->fields = no_store;
    if (is_ready(arg, &why)) {
        buf_puts(&page->body, "ready\n");
    } else {
        page->status = 503;
        page->content_type = "application/problem+json";
        buf_puts(&page->body, "{\"type\":\"about:blank\",\"title\":\"Service "
                              "Unavailable\",\"status\":503,\"detail\":");
        buf_put_json(&page->body, why.data, why.len);
        buf_puts(&page->body, "}\n");
    }
    buf_fini(&why);
}

static void metrics(void *arg, struct http_page *page) {
    struct pages *p = arg;
    struct buf why = BUF_INIT;
    page->content_type = METRICS_CONTENT_TYPE;
    page->fields = no_store;
    struct metrics_source source = p->metrics;
    struct http_certificate certificates[CERTIFICATES_SHOWN];
    source.certificates = certificates;
    source.certificates_len =
        tls_files_certificates(p->tls_files, certificates, CERTIFICATES_SHOWN);
    metrics_write(&source, is_ready(p, &why), &page->body);
    buf_fini(&why);
}

static void asset(struct http_page *page, const char *content_type, const unsigned char *bytes,
                  size_t len) {
    page->content_type = content_type;
    page->fields = console_fields;
    buf_append(&page->body, bytes, len);
}

static void console_html(void *arg, struct http_page *page) {
    (void)arg;
    asset(page, "text/html; charset=utf-8", asset_console_html, asset_console_html_len);
}

static void console_js(void *arg, struct http_page *page) {
    (void)arg;
    asset(page, "text/javascript; charset=utf-8", asset_console_js, asset_console_js_len);
}

static void words_js(void *arg, struct http_page *page) {
    (void)arg;
    asset(page, "text/javascript; charset=utf-8", asset_words_js, asset_words_js_len);
}

static void console_css(void *arg, struct http_page *page) {
    (void)arg;
    asset(page, "text/css; charset=utf-8", asset_console_css, asset_console_css_len);
}

void pages_init(struct pages *p, bool metrics_for_clients, bool health_for_clients,
                bool has_console) {
    size_t n = 0;
    atomic_init(&p->leaving, false);
    if (has_console) {
        p->main[n++] = (struct http_route){"/", console_html, p};
        p->main[n++] = (struct http_route){"/console.js", console_js, p};
        p->main[n++] = (struct http_route){"/words.js", words_js, p};
        p->main[n++] = (struct http_route){"/console.css", console_css, p};
    }
    if (health_for_clients) {
        p->main[n++] = (struct http_route){"/healthz", health, p};
        p->main[n++] = (struct http_route){"/readyz", readiness, p};
    }
    if (metrics_for_clients)
        p->main[n++] = (struct http_route){"/metrics", metrics, p};
    p->main[n] = (struct http_route){NULL, NULL, NULL};

    p->admin[0] = (struct http_route){"/healthz", health, p};
    p->admin[1] = (struct http_route){"/readyz", readiness, p};
    p->admin[2] = (struct http_route){"/metrics", metrics, p};
    p->admin[3] = (struct http_route){NULL, NULL, NULL};
}
