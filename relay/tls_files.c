/* Files of TLS; see tls_files.h. */
#include "relay/tls_files.h"

#include "relay/base/err.h"
#include "relay/base/log.h"

static bool listens_by_tls(const struct config *config) {
    for (size_t i = 0; i < config->listen.len; i++)
        if (config->listen.items[i].tls)
            return true;
    return false;
}

static struct tls_options options_of(const struct config *config) {
    return (struct tls_options){.cert_files = config->tls_certs.items,
                                .key_files = config->tls_keys.items,
                                .certs_len = config->tls_certs.len,
                                .ticket_files = config->tls_ticket_keys.items,
                                .ticket_files_len = config->tls_ticket_keys.len,
                                .client_ca_file = config->tls_client_ca};
}

int tls_files_init(struct tls_files *t, const struct config *config, struct buf *why) {
    *t = (struct tls_files){.config = config, .client_ca_path = config->tls_client_ca};
    struct tls_options options = options_of(config);
    if (config->tls_client_ca != NULL)
        t->client_ca = (struct config_strings){&t->client_ca_path, 1};
    t->watch = (struct file_watch){
        .lists = {&config->tls_certs, &config->tls_keys, &config->tls_ticket_keys, &t->client_ca}};
    file_watch_look(&t->watch);
    int rc = listens_by_tls(config) ? tls_new(&options, &t->clients, why) : RELAY_OK;
    options.client_ca_file = NULL;
    if (rc == RELAY_OK && config->admin_listen.tls)
        rc = tls_new(&options, &t->admin, why);
    return rc;
}

/* The main listeners' first: where a file is bad, both stay as they are. */
static int reload(struct tls_files *t, struct buf *why) {
    int rc = t->clients != NULL ? tls_reload(t->clients, why) : RELAY_OK;
    return rc == RELAY_OK && t->admin != NULL ? tls_reload(t->admin, why) : rc;
}

static int64_t not_after(const struct tls_files *t) {
    return tls_not_after(t->clients != NULL ? t->clients : t->admin);
}

void tls_files_reload(struct tls_files *t) {
    struct buf why = BUF_INIT;
    if (t->clients == NULL && t->admin == NULL)
        return;
    file_watch_look(&t->watch);
    const char *pipe = file_watch_pipe(&t->watch);
    if (pipe != NULL)
        log_warn("a file of TLS is no regular file, so the certificates are not read again",
                 "file=%s", pipe);
    else if (reload(t, &why) == RELAY_OK)
        log_info("the certificates were read again", "certificates=%zu not_after=%lld",
                 t->config->tls_certs.len, (long long)not_after(t));
    else
        log_error("the certificates were not read again; those of before are used on", "why=%s",
                  why.data);
    buf_fini(&why);
}

static void on_changed(void *arg) {
    tls_files_reload(arg);
}

void tls_files_start(struct tls_files *t, uv_loop_t *loop) {
    file_watch_start(&t->watch, loop, t->clients != NULL || t->admin != NULL, on_changed, t);
}

size_t tls_files_certificates(const struct tls_files *t, struct http_certificate *out, size_t max) {
    struct tls *tls = t->clients != NULL ? t->clients : t->admin;
    return tls != NULL ? tls_certificates(tls, out, max) : 0;
}

void tls_files_close(struct tls_files *t) {
    file_watch_close(&t->watch);
}

void tls_files_fini(struct tls_files *t) {
    tls_free(t->clients);
    tls_free(t->admin);
    t->clients = t->admin = NULL;
}
