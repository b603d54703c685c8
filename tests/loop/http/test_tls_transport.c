/* A transport through TLS, on a socket pair with a client of OpenSSL behind it, whose bytes are
 * moved in pieces that the test chooses: short reads and short writes at every place. */
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/http/tls_transport.h"
#include "tests/unit/unit.h"

enum { ROUNDS = 1000000, DATA_BYTES = 300 * 1000 };

struct link {
    struct transport t;
    int peer; /* the client's end of the socket pair */
    SSL *client;
    BIO *to_client, *from_client;
    size_t piece; /* at most so many bytes move at a time */
    size_t len;   /* how many of the data are sent in each direction */
};

static char directory[] = "/tmp/tls-transport-XXXXXX";
static char cert_file[64], key_file[64];
static struct tls *tls;
static struct http_metrics metrics;
static unsigned links;
static struct tls_server server = {.metrics = &metrics};

/* ---- a certificate ---- */

static X509 *sign(EVP_PKEY *key, const char *name) {
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static void write_certificate(const char *name) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = sign(key, name);
    FILE *file = fopen(cert_file, "w");
    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
    file = fopen(key_file, "w");
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int set_up(void **state) {
    static char *certs[] = {cert_file}, *keys[] = {key_file};
    struct tls_options options = {.cert_files = certs, .key_files = keys, .certs_len = 1};
    struct buf why = BUF_INIT;
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as in the relay */
    assert_non_null(mkdtemp(directory));
    snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", directory);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", directory);
    write_certificate("one");
    if (tls_new(&options, &tls, &why) != RELAY_OK)
        fail_msg("%s", why.data);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tls_free(tls);
    unlink(cert_file);
    unlink(key_file);
    rmdir(directory);
    return 0;
}

/* ---- both ends ---- */

static void open_link(struct link *l, int version, size_t piece) {
    int pair[2], small = 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (int i = 0; i < 2; i++) {
        fcntl(pair[i], F_SETFL, O_NONBLOCK);
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)); /* the least there is */
    }
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    *l = (struct link){.peer = pair[1],
                       .client = SSL_new(ctx),
                       .to_client = BIO_new(BIO_s_mem()),
                       .from_client = BIO_new(BIO_s_mem()),
                       .piece = piece,
                       .len = piece < DATA_BYTES / 2000 ? piece * 2000 : DATA_BYTES};
    SSL_CTX_free(ctx);
    SSL_set_bio(l->client, l->to_client, l->from_client);
    SSL_set_connect_state(l->client);
    assert_true(transport_init_tls(&l->t, pair[0], tls, &server));
    assert_int_equal(metric_get(&metrics.tls_connections), ++links);
}

static void close_link(struct link *l) {
    transport_close(&l->t);
    SSL_free(l->client);
    close(l->peer);
    assert_int_equal(metric_get(&metrics.tls_connections), --links);
}

/* One piece in each direction. */
static void move_bytes(struct link *l) {
    char *waiting;
    char in[65536];
    long len = BIO_get_mem_data(l->from_client, &waiting);
    if (len > 0) {
        ssize_t n = write(l->peer, waiting, (size_t)len < l->piece ? (size_t)len : l->piece);
        for (; n > 0; n -= n > 65536 ? 65536 : n)
            BIO_read(l->from_client, in, n > 65536 ? 65536 : (int)n);
    }
    ssize_t n = read(l->peer, in, l->piece < sizeof(in) ? l->piece : sizeof(in));
    if (n > 0)
        BIO_write(l->to_client, in, (int)n);
}

static int client_read(struct link *l, void *bytes, size_t len) {
    ERR_clear_error();
    int n = SSL_read(l->client, bytes, (int)len);
    return n > 0 ? n : SSL_get_error(l->client, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static void shake(struct link *l) {
    char byte = 0;
    bool asked = false;
    for (int i = 0; byte == 0; i++) {
        assert_true(i < ROUNDS);
        ERR_clear_error();
        if (!asked && SSL_do_handshake(l->client) == 1) {
            asked = true;
            assert_int_equal(SSL_write(l->client, "!", 1), 1);
        }
        move_bytes(l);
        ssize_t n = transport_read(&l->t, &byte, 1);
        assert_true(n == 1 || n == TRANSPORT_AGAIN);
    }
    assert_int_equal(byte, '!');
}

static char *make_data(void) {
    char *data = mem_zalloc(DATA_BYTES);
    for (size_t i = 0; i < DATA_BYTES; i++)
        data[i] = (char)(i * 7 + i / 251);
    return data;
}

/* ---- what comes and what leaves ---- */

/* Offer the rest of @data from @done on, cut into iovecs of changing sizes, at a place of its own.
 */
static ssize_t offer(struct link *l, const char *data, size_t done, unsigned *turn) {
    struct iovec iov[64];
    int count = 0;
    size_t len = l->len - done;
    char *moved = malloc(len); /* another address each time */
    memcpy(moved, data + done, len);
    for (size_t at = 0; at < len && count < 64; count++) {
        size_t n = count == 5 ? 0 : 1 + ++*turn * 977 % 20011;
        n = n < len - at ? n : len - at;
        iov[count] = (struct iovec){moved + at, n};
        at += n;
    }
    ssize_t n = transport_writev(&l->t, iov, count);
    free(moved);
    return n;
}

static void send_all(struct link *l, const char *data) {
    char *got = malloc(l->len);
    size_t sent = 0, have = 0;
    unsigned turn = 0;
    for (int i = 0; have < l->len; i++) {
        assert_true(i < ROUNDS);
        ssize_t n = sent < l->len ? offer(l, data, sent, &turn) : 0;
        assert_true(n >= 0 || n == TRANSPORT_AGAIN);
        sent += n > 0 ? (size_t)n : 0;
        move_bytes(l);
        int r = client_read(l, got + have, l->len - have);
        have += r > 0 ? (size_t)r : 0;
    }
    assert_memory_equal(got, data, l->len);
    free(got);
}

static void receive_all(struct link *l, const char *data) {
    char *got = malloc(l->len);
    assert_int_equal(SSL_write(l->client, data, (int)l->len), l->len);
    size_t have = 0;
    for (int i = 0; have < l->len; i++) {
        assert_true(i < ROUNDS);
        move_bytes(l);
        size_t room = l->len - have;
        ssize_t n = transport_read(&l->t, got + have, room < 5000 ? room : 5000);
        assert_true(n > 0 || n == TRANSPORT_AGAIN);
        have += n > 0 ? (size_t)n : 0;
    }
    assert_memory_equal(got, data, l->len);
    free(got);
}

static void say_goodbye(struct link *l) {
    char byte;
    int r = -1;
    int shut = TRANSPORT_AGAIN;
    for (int i = 0; r != 0; i++) {
        assert_true(i < ROUNDS);
        if (shut == TRANSPORT_AGAIN)
            shut = transport_shut_down(&l->t);
        move_bytes(l);
        r = client_read(l, &byte, 1);
        assert_true(r <= 0);
    }
    assert_int_equal(shut, 0);
}

static void test_pieces_of_every_size(void **state) {
    static const size_t pieces[] = {1, 5, 97, 1400, 65536};
    char *data = make_data();
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
            struct link l;
            uint64_t before = metric_get(&metrics.tls_handshakes[0]);
            open_link(&l, version, pieces[i]);
            shake(&l);
            assert_int_equal(metric_get(&metrics.tls_handshakes[0]), before + 1);
            receive_all(&l, data);
            send_all(&l, data);
            say_goodbye(&l);
            close_link(&l);
        }
    free(data);
}

/* The length of each record that lies in the socket. */
static size_t records_sent(struct link *l, size_t *lengths, size_t max) {
    char in[70000];
    size_t have = 0, count = 0;
    ssize_t n;
    while ((n = read(l->peer, in + have, sizeof(in) - have)) > 0)
        have += (size_t)n;
    for (size_t at = 0; at + 5 <= have && count < max; count++) {
        lengths[count] = (size_t)(unsigned char)in[at + 3] << 8 | (unsigned char)in[at + 4];
        at += 5 + lengths[count];
    }
    return count;
}

static void test_many_frames_are_one_record(void **state) {
    struct link l;
    struct iovec iov[64];
    size_t lengths[64];
    static char frame[100];
    (void)state;
    open_link(&l, TLS1_3_VERSION, 65536);
    shake(&l);
    records_sent(&l, lengths, 64);
    for (int i = 0; i < 20; i++)
        iov[i] = (struct iovec){frame, sizeof(frame)};
    assert_int_equal(transport_writev(&l.t, iov, 20), 2000);
    assert_int_equal(records_sent(&l, lengths, 64), 1);
    assert_in_range(lengths[0], 2000, 2000 + 32);
    close_link(&l);
}

static void test_bytes_that_the_socket_does_not_tell_of(void **state) {
    struct link l;
    char in[10];
    (void)state;
    open_link(&l, TLS1_3_VERSION, 65536);
    shake(&l);
    assert_int_equal(transport_poll_for(&l.t, TRANSPORT_READ), TRANSPORT_READ);
    assert_int_equal(SSL_write(l.client, "0123456789abcdef", 16), 16);
    move_bytes(&l);
    assert_int_equal(transport_read(&l.t, in, sizeof(in)), 10);
    assert_int_equal(transport_poll_for(&l.t, TRANSPORT_READ), TRANSPORT_READ | TRANSPORT_WRITE);
    assert_int_equal(transport_poll_for(&l.t, 0), 0);
    assert_true(transport_ready(&l.t, TRANSPORT_WRITE) & TRANSPORT_READ);
    assert_int_equal(transport_read(&l.t, in, sizeof(in)), 6);
    assert_memory_equal(in, "abcdef", 6);
    assert_int_equal(transport_poll_for(&l.t, TRANSPORT_READ), TRANSPORT_READ);
    assert_int_equal(transport_read(&l.t, in, sizeof(in)), TRANSPORT_AGAIN);
    close_link(&l);
}

/* An error that somebody else left behind on this thread is not the connection's. */
static void test_the_errors_of_others(void **state) {
    struct link l;
    char in[10];
    struct iovec iov = {in, 10};
    (void)state;
    open_link(&l, TLS1_3_VERSION, 65536);
    shake(&l);
    memset(in, 'x', sizeof(in));
    ERR_raise(ERR_LIB_USER, 1);
    assert_int_equal(transport_read(&l.t, in, sizeof(in)), TRANSPORT_AGAIN);
    ssize_t n;
    do {
        ERR_raise(ERR_LIB_USER, 1);
        n = transport_writev(&l.t, &iov, 1);
    } while (n > 0);
    assert_int_equal(n, TRANSPORT_AGAIN);
    close_link(&l);
}

/* ---- ends ---- */

static uint64_t outcomes(void) {
    return metric_get(&metrics.tls_failures[HTTP_TLS_UNFINISHED]) +
           metric_get(&metrics.tls_handshakes[0]);
}

/* Let both go on with the handshake until the client has sent @cut bytes; false: it needs no more.
 */
static bool shake_until(struct link *l, size_t cut) {
    char byte;
    for (size_t sent = 0; sent<cut; sent += BIO_pending(l->from_client)> 0) {
        ERR_clear_error();
        if (SSL_do_handshake(l->client) == 1)
            return false;
        move_bytes(l);
        assert_int_equal(transport_read(&l->t, &byte, 1), TRANSPORT_AGAIN);
    }
    return true;
}

static void test_gone_behind_each_byte(void **state) {
    bool more = true;
    (void)state;
    for (size_t cut = 1; more; cut++) {
        struct link l;
        char byte;
        uint64_t before = outcomes();
        open_link(&l, TLS1_2_VERSION, 1);
        more = shake_until(&l, cut);
        close(l.peer);
        l.peer = -1;
        assert_true(transport_read(&l.t, &byte, 1) <= 0);
        close_link(&l);
        assert_int_equal(outcomes(), before + 1);
    }
}

static void test_plain_http(void **state) {
    struct link l;
    char in[1000];
    (void)state;
    open_link(&l, TLS1_3_VERSION, 65536);
    assert_int_equal(transport_read(&l.t, in, sizeof(in)), TRANSPORT_AGAIN); /* nothing came */
    assert_int_equal(write(l.peer, "GET / HTTP/1.1\r\n", 16), 16);
    assert_int_equal(transport_read(&l.t, in, sizeof(in)), TRANSPORT_AGAIN);
    assert_int_equal(metric_get(&metrics.tls_failures[HTTP_TLS_PLAIN]), 1);
    ssize_t n = read(l.peer, in, sizeof(in) - 1);
    assert_true(n > 0);
    in[n] = '\0';
    char *body = strstr(in, "\r\n\r\n") + 4;
    assert_int_equal(strtol(strstr(in, "Content-Length: ") + 16, NULL, 10), strlen(body));
    assert_int_equal(read(l.peer, in, sizeof(in)), 0);
    assert_int_equal(transport_read(&l.t, in, sizeof(in)), TRANSPORT_AGAIN); /* the request, over */
    struct iovec iov = {in, 1};
    assert_int_equal(transport_writev(&l.t, &iov, 1), TRANSPORT_FAILED);
    shutdown(l.peer, SHUT_WR);
    assert_int_equal(transport_read(&l.t, in, sizeof(in)), 0);
    close_link(&l);
}

/* ---- reading the files again ---- */

static void check_name(const char *name) {
    struct link l;
    char common[20] = "";
    open_link(&l, TLS1_3_VERSION, 65536);
    shake(&l);
    X509 *cert = SSL_get1_peer_certificate(l.client);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, common, sizeof(common));
    X509_free(cert);
    assert_string_equal(common, name);
    close_link(&l);
}

static void test_reload(void **state) {
    struct link l;
    struct buf why = BUF_INIT;
    char *data = make_data();
    (void)state;
    open_link(&l, TLS1_3_VERSION, 1400); /* before; its handshake comes after */
    write_certificate("two");
    assert_int_equal(tls_reload(tls, &why), RELAY_OK);
    check_name("two");
    shake(&l);
    send_all(&l, data);
    close_link(&l);
    FILE *file = fopen(key_file, "w");
    fclose(file);
    assert_int_equal(tls_reload(tls, &why), RELAY_EINVAL);
    assert_non_null(strstr(why.data, "holds no private key"));
    check_name("two");
    buf_fini(&why);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_every_size),
        cmocka_unit_test(test_many_frames_are_one_record),
        cmocka_unit_test(test_bytes_that_the_socket_does_not_tell_of),
        cmocka_unit_test(test_the_errors_of_others),
        cmocka_unit_test(test_gone_behind_each_byte),
        cmocka_unit_test(test_plain_http),
        cmocka_unit_test(test_reload),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
