/* Certificates and what stands beside them; see tls.h.
 *
 * Each certificate has an SSL_CTX of its own. A connection begins with the first; where the client
 * names a host that another one is for, it goes on with that. */
#include "relay/http/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "relay/base/err.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/tls_tickets.h"

/* What may be spoken inside, in the order of our preference: each name behind its length. */
static const unsigned char protocols[] = "\x02h2\x08http/1.1";

/* Of TLS 1.2: those that keep a recorded conversation secret when the key gets known, and that have
 * no padding to be guessed at. All of 1.3 are such. */
static const char ciphers_1_2[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

struct tls_set {
    atomic_uint refs;
    SSL_CTX **contexts;
    size_t len;
    struct tls_tickets tickets;
    int64_t not_after;
};

struct tls {
    struct tls_options options;
    struct tls_ticket_key own_ticket_key; /* where no file has one: kept over each reload */
    pthread_mutex_t lock; /* of the pointer alone: held to take a reference or to exchange it */
    struct tls_set *set;
};

/* Whom client certificates have to come from. */
struct client_ca {
    X509_STORE *store; /* NULL: no certificate is asked for */
    STACK_OF(X509_NAME) * names;
    unsigned char digest[SHA256_DIGEST_LENGTH]; /* of all of them */
};

/* ---- reading ---- */

/* Why OpenSSL failed just now, for the end of a sentence. */
static void put_reason(struct buf *why) {
    const char *reason = ERR_reason_error_string(ERR_peek_error()); /* the first one: its cause */
    buf_puts(why, reason != NULL ? reason : "unknown");
    ERR_clear_error();
}

static BIO *open_file(const char *what, const char *path, struct buf *why) {
    errno = 0;
    BIO *bio = BIO_new_file(path, "r");
    if (bio == NULL) {
        buf_printf(why, "the %s %s cannot be read: %s", what, path, strerror(errno));
        ERR_clear_error();
    }
    return bio;
}

static bool read_certificate(SSL_CTX *ctx, const char *path, struct buf *why) {
    BIO *bio = open_file("certificate", path, why);
    if (bio == NULL)
        return false;
    BIO_free(bio);
    if (SSL_CTX_use_certificate_chain_file(ctx, path) == 1)
        return true;
    if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE) {
        buf_printf(why, "the file %s holds no certificate in PEM", path);
        ERR_clear_error();
    } else {
        buf_printf(why, "the certificate in %s cannot be used: ", path);
        put_reason(why);
    }
    return false;
}

/* A relay has nobody whom it could ask. */
static int on_password(char *out, int size, int writing, void *asked) {
    (void)out;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static bool read_key(SSL_CTX *ctx, const char *cert, const char *path, struct buf *why) {
    bool asked = false;
    BIO *bio = open_file("key", path, why);
    if (bio == NULL)
        return false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, on_password, &asked);
    bool good =
        key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    if (asked)
        buf_printf(why,
                   "the key in %s is encrypted, and nobody can be asked for its password: "
                   "openssl pkey -in %s -out PLAIN takes it off",
                   path, path);
    else if (key == NULL)
        buf_printf(why, "the file %s holds no private key in PEM", path);
    else if (!good)
        buf_printf(why, "the key in %s does not belong to the certificate in %s", path, cert);
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
    return good;
}

static void add_client_ca(struct client_ca *ca, X509 *cert, EVP_MD_CTX *digest) {
    unsigned char one[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    X509_STORE_add_cert(ca->store, cert);
    sk_X509_NAME_push(ca->names, X509_NAME_dup(X509_get_subject_name(cert)));
    X509_digest(cert, EVP_sha256(), one, &len);
    EVP_DigestUpdate(digest, one, len);
}

static bool read_client_ca(struct client_ca *ca, const char *path, struct buf *why) {
    X509 *cert;
    if (path == NULL)
        return true;
    BIO *bio = open_file("file of client authorities", path, why);
    if (bio == NULL)
        return false;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    ca->store = X509_STORE_new();
    ca->names = sk_X509_NAME_new_null();
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        add_client_ca(ca, cert, digest);
        X509_free(cert);
    }
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    bool good = at_end && sk_X509_NAME_num(ca->names) > 0;
    EVP_DigestFinal_ex(digest, ca->digest, NULL);
    EVP_MD_CTX_free(digest);
    BIO_free(bio);
    ERR_clear_error();
    if (!good)
        buf_printf(why, "the file %s holds %s", path,
                   at_end ? "no certificate in PEM" : "a certificate that cannot be read");
    return good;
}

static void client_ca_fini(struct client_ca *ca) {
    X509_STORE_free(ca->store);
    sk_X509_NAME_pop_free(ca->names, X509_NAME_free);
}

/* ---- what a connection is set up with ---- */

static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *offered, unsigned offered_len, void *arg) {
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, protocols, sizeof(protocols) - 1, offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int on_server_name(SSL *ssl, int *alert, void *arg) {
    const struct tls_set *set = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    if (name == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < set->len; i++) {
        X509 *cert = SSL_CTX_get0_certificate(set->contexts[i]);
        if (X509_check_host(cert, name, 0, 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, set->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK; /* who wants another name sees by the first one that it is not us
                                  */
}

/* A session that was begun under other authorities, or under none, is not taken up again. */
static void set_client_ca(SSL_CTX *ctx, const struct client_ca *ca) {
    SSL_CTX_set_session_id_context(ctx, ca->digest, sizeof(ca->digest));
    if (ca->store == NULL)
        return;
    SSL_CTX_set1_cert_store(ctx, ca->store);
    SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(ca->names));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

/* Without AUTO_RETRY a read comes back after each record that brings no data, so that a client who
 * sends nothing else takes no more than its turn of the loop. */
static SSL_CTX *new_context(struct tls_set *set, const struct client_ca *ca) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        abort(); /* at start, or when the operator changed a file */
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, ciphers_1_2);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* the client holds its ticket */
    SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, set);
    tls_tickets_use(&set->tickets, ctx);
    set_client_ca(ctx, ca);
    return ctx;
}

/* ---- a set ---- */

static int64_t seconds_of(const ASN1_TIME *time) {
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* One that has ended is shown all the same: some clients do not look, and the others say why. */
static void look_at_dates(struct tls_set *set, SSL_CTX *ctx, const char *path) {
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    int64_t not_after = seconds_of(X509_get0_notAfter(cert));
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        log_warn("a certificate has expired: clients will refuse it", "file=%s", path);
    else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        log_warn("a certificate is not valid yet: clients will refuse it", "file=%s", path);
    if (set->not_after == 0 || not_after < set->not_after)
        set->not_after = not_after;
}

static bool add_pair(struct tls_set *set, const struct client_ca *ca, const char *cert,
                     const char *key, struct buf *why) {
    SSL_CTX *ctx = new_context(set, ca);
    if (!read_certificate(ctx, cert, why) || !read_key(ctx, cert, key, why)) {
        SSL_CTX_free(ctx);
        return false;
    }
    look_at_dates(set, ctx, cert);
    set->contexts[set->len++] = ctx;
    return true;
}

void tls_set_unref(struct tls_set *set) {
    if (atomic_fetch_sub(&set->refs, 1) != 1)
        return;
    for (size_t i = 0; i < set->len; i++)
        SSL_CTX_free(set->contexts[i]);
    free(set->contexts);
    tls_tickets_fini(&set->tickets);
    free(set);
}

static int read_set(const struct tls *tls, struct tls_set **out, struct buf *why) {
    const struct tls_options *o = &tls->options;
    struct client_ca ca = {0};
    struct tls_set *set = mem_zalloc(sizeof(*set));
    set->refs = 1;
    set->contexts = mem_zalloc(o->certs_len * sizeof(SSL_CTX *));
    bool good =
        tls_tickets_read(&set->tickets, o->ticket_files, o->ticket_files_len, why) == RELAY_OK;
    if (good && o->ticket_files_len == 0)
        tls_tickets_add(&set->tickets, &tls->own_ticket_key);
    good = good && read_client_ca(&ca, o->client_ca_file, why);
    for (size_t i = 0; good && i < o->certs_len; i++)
        good = add_pair(set, &ca, o->cert_files[i], o->key_files[i], why);
    client_ca_fini(&ca);
    if (good)
        *out = set;
    else
        tls_set_unref(set);
    return good ? RELAY_OK : RELAY_EINVAL;
}

SSL *tls_set_session(struct tls_set *set) {
    SSL *ssl = SSL_new(set->contexts[0]);
    if (ssl != NULL)
        SSL_set_accept_state(ssl);
    return ssl;
}

/* ---- the present one ---- */

int tls_new(const struct tls_options *options, struct tls **out, struct buf *why) {
    struct tls *tls = mem_zalloc(sizeof(*tls));
    tls->options = *options;
    tls_ticket_key_make_up(&tls->own_ticket_key);
    int rc = read_set(tls, &tls->set, why);
    if (rc != RELAY_OK) {
        free(tls);
        return rc;
    }
    pthread_mutex_init(&tls->lock, NULL);
    *out = tls;
    return RELAY_OK;
}

int tls_reload(struct tls *tls, struct buf *why) {
    struct tls_set *set, *old;
    int rc = read_set(tls, &set, why);
    if (rc != RELAY_OK)
        return rc;
    pthread_mutex_lock(&tls->lock);
    old = tls->set;
    tls->set = set;
    pthread_mutex_unlock(&tls->lock);
    tls_set_unref(old);
    return RELAY_OK;
}

void tls_free(struct tls *tls) {
    if (tls == NULL)
        return;
    tls_set_unref(tls->set);
    pthread_mutex_destroy(&tls->lock);
    OPENSSL_cleanse(&tls->own_ticket_key, sizeof(tls->own_ticket_key));
    free(tls);
}

struct tls_set *tls_set_ref(struct tls *tls) {
    pthread_mutex_lock(&tls->lock);
    struct tls_set *set = tls->set;
    atomic_fetch_add(&set->refs, 1);
    pthread_mutex_unlock(&tls->lock);
    return set;
}

int64_t tls_not_after(struct tls *tls) {
    struct tls_set *set = tls_set_ref(tls);
    int64_t seconds = set->not_after;
    tls_set_unref(set);
    return seconds;
}

/* ---- for the metrics page ---- */

/* A certificate may say anything; what is written stands between quotes. */
static void put_name(const unsigned char *text, int len, struct http_certificate *out) {
    size_t n = 0;
    for (int i = 0; i < len && n < sizeof(out->name) - 1; i++) {
        bool plain = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
                     (text[i] >= '0' && text[i] <= '9') ||
                     (text[i] != '\0' && strchr(".*:_-", text[i]) != NULL);
        out->name[n++] = plain ? (char)text[i] : '_';
    }
    out->name[n] = '\0';
}

/* The first host among the names, or the common name. */
static void name_certificate(const X509 *cert, struct http_certificate *out) {
    const ASN1_STRING *found = NULL;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && found == NULL; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            found = name->d.dNSName;
    }
    if (found == NULL) {
        const X509_NAME *subject = X509_get_subject_name(cert);
        int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        if (at >= 0)
            found = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    }
    put_name(found != NULL ? ASN1_STRING_get0_data(found) : NULL,
             found != NULL ? ASN1_STRING_length(found) : 0, out);
    GENERAL_NAMES_free(names);
}

size_t tls_certificates(struct tls *tls, struct http_certificate *out, size_t max) {
    struct tls_set *set = tls_set_ref(tls);
    size_t len = set->len < max ? set->len : max;
    for (size_t i = 0; i < len; i++) {
        const X509 *cert = SSL_CTX_get0_certificate(set->contexts[i]);
        out[i].not_after_s = seconds_of(X509_get0_notAfter(cert));
        name_certificate(cert, &out[i]);
    }
    tls_set_unref(set);
    return len;
}
