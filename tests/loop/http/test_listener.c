/* Listening sockets: who shares an address and who is refused, where connections go, and what
 * becomes of those that the kernel has accepted when we stop. */
#include "relay/http/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "tests/unit/unit.h"

enum { DEADLINE_MS = 120 * 1000 };

/* --- helpers --- */

/* Open a listener that must come about. */
static void open_ok(struct listener *l, const struct listener_options *o) {
    struct buf why = BUF_INIT;
    if (listener_open(l, o, &why) != RELAY_OK)
        fail_msg("%s", why.data);
    assert_int_equal(why.len, 0);
    buf_fini(&why);
}

static void open_host(struct listener *l, const char *host, unsigned port, int sockets) {
    open_ok(l, &(struct listener_options){.host = host, .port = port, .sockets = sockets});
}

/* The lowest descriptor that is free. */
static int free_fd(void) {
    int fd = dup(STDERR_FILENO);
    assert_return_code(fd, errno);
    close(fd);
    return fd;
}

/* Open a listener that must not come about, and leave nothing open. */
static void assert_refused(const struct listener_options *o, int expected, const char *part) {
    struct listener l;
    struct buf why = BUF_INIT;
    int before = free_fd();
    int err = listener_open(&l, o, &why);
    if (err != expected || strstr(why.data != NULL ? why.data : "", part) == NULL)
        fail_msg("%s: %s", relay_strerror(err), why.data);
    assert_int_equal(free_fd(), before);
    buf_fini(&why);
}

static unsigned port_of(int fd) {
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    assert_return_code(getsockname(fd, (struct sockaddr *)&a, &len), errno);
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

/* Begin to connect to a loopback address; the socket does not block. */
static int start_connect(int family, unsigned port) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = in6addr_loopback;
    int fd = socket(family, SOCK_STREAM, 0);
    assert_return_code(fd, errno);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    const struct sockaddr *a = family == AF_INET ? (void *)&v4 : (void *)&v6;
    if (connect(fd, a, family == AF_INET ? sizeof(v4) : sizeof(v6)) != 0)
        assert_int_equal(errno, EINPROGRESS);
    return fd;
}

static void wait_for(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
}

/* Wait until @fd is connected or not; returns 0 or the errno. */
static int connect_result(int fd) {
    int err = 0;
    socklen_t len = sizeof(err);
    wait_for(fd, POLLOUT);
    assert_return_code(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), errno);
    return err;
}

static int connect_loopback(int family, unsigned port) {
    int fd = start_connect(family, port);
    assert_int_equal(connect_result(fd), 0);
    return fd;
}

static int connect_path(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_return_code(fd, errno);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

static bool has_ipv6(void) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

static int accept_waiting(int listen_fd) {
    wait_for(listen_fd, POLLIN);
    int fd = listener_accept(listen_fd);
    assert_return_code(fd, errno);
    return fd;
}

static void assert_nobody_waits(int listen_fd) {
    assert_int_equal(listener_accept(listen_fd), -1);
    assert_int_equal(errno, EAGAIN);
}

/* Bytes pass in both directions. */
static void assert_connected(int client, int server) {
    char byte = 'x';
    assert_int_equal(write(client, "c", 1), 1);
    wait_for(server, POLLIN);
    assert_int_equal(read(server, &byte, 1), 1);
    assert_int_equal(byte, 'c');
    assert_int_equal(write(server, "s", 1), 1);
    wait_for(client, POLLIN);
    assert_int_equal(read(client, &byte, 1), 1);
    assert_int_equal(byte, 's');
}

static int option_of(int fd, int level, int option) {
    int value = 0;
    socklen_t len = sizeof(value);
    assert_return_code(getsockopt(fd, level, option, &value, &len), errno);
    return value;
}

static void assert_flags(int fd) {
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* A private folder, and a path in it. */
struct place {
    char folder[64];
    char path[80];
};

static void place_init(struct place *p) {
    const char *tmp = getenv("TMPDIR");
    int len = snprintf(p->folder, sizeof(p->folder), "%s/listener-XXXXXX", tmp ? tmp : "/tmp");
    if (len >= (int)sizeof(p->folder)) /* the path of a socket must be short */
        snprintf(p->folder, sizeof(p->folder), "/tmp/listener-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/socket", p->folder);
}

static void place_fini(struct place *p) {
    unlink(p->path);
    assert_return_code(rmdir(p->folder), errno);
}

/* --- TCP --- */

static void all_sockets_have_the_port_that_was_chosen(void **state) {
    (void)state;
    struct listener l;
    char url[64];
    open_host(&l, "127.0.0.1", 0, 4);
#ifdef __linux__
    assert_int_equal(l.fds_len, 4);
#else
    assert_int_equal(l.fds_len, 1);
#endif
    unsigned port = port_of(l.fds[0]);
    assert_int_not_equal(port, 0);
    for (int i = 0; i < l.fds_len; i++) {
        assert_int_equal(port_of(l.fds[i]), port);
        assert_flags(l.fds[i]);
        assert_nobody_waits(l.fds[i]);
    }
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
    assert_string_equal(l.url, url);
    assert_null(l.path);
    listener_fini(&l);
}

static void a_second_relay_is_refused(void **state) {
    (void)state;
    for (int sockets = 1; sockets <= 4; sockets++) {
        struct listener l;
        char part[64];
        open_host(&l, "127.0.0.1", 0, sockets);
        unsigned port = port_of(l.fds[0]);
        snprintf(part, sizeof(part), "127.0.0.1:%u", port);
        for (int wanted = 1; wanted <= 4; wanted++) {
            struct listener_options same = {.host = "127.0.0.1", .port = port, .sockets = wanted};
            struct listener_options everywhere = {.port = port, .sockets = wanted};
            assert_refused(&same, RELAY_EADDRINUSE, part);
            assert_refused(&everywhere, RELAY_EADDRINUSE, "another program");
        }
        listener_fini(&l);
    }
}

static void a_name_is_not_shared_by_its_addresses(void **state) {
    (void)state;
    struct listener l;
    open_host(&l, "localhost", 0, 2);
    assert_true(l.loopback);
    struct listener_options same = {.host = "localhost", .port = port_of(l.fds[0]), .sockets = 2};
    assert_refused(&same, RELAY_EADDRINUSE, "localhost:");
    listener_fini(&l);
}

static void the_address_is_free_when_all_are_closed(void **state) {
    (void)state;
    struct listener l;
    open_host(&l, "127.0.0.1", 0, 3);
    unsigned port = port_of(l.fds[0]);
    int client = connect_loopback(AF_INET, port);
    listener_fini(&l);
    listener_fini(&l);
    open_host(&l, "127.0.0.1", port, 3);
    listener_fini(&l);
    close(client);
}

static void connections_are_spread_over_the_sockets(void **state) {
    (void)state;
    enum { CLIENTS = 128, SOCKETS = 4 };
    struct listener l;
    int clients[CLIENTS], total = 0;
    open_host(&l, "127.0.0.1", 0, SOCKETS);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_loopback(AF_INET, port_of(l.fds[0]));
    for (int i = 0; i < l.fds_len; i++) {
        int got = 0;
        for (int fd; (fd = listener_accept(l.fds[i])) >= 0; got++)
            close(fd);
        assert_int_equal(errno, EAGAIN);
        assert_true(got > 0); /* by chance with a probability of 4 in 10^16 */
        total += got;
    }
    assert_int_equal(total, CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    listener_fini(&l);
}

static void accepted_sockets_inherit_the_options(void **state) {
    (void)state;
    struct listener l;
    struct listener_options o = {.host = "127.0.0.1",
                                 .sockets = 2,
                                 .send_buffer_bytes = 64 * 1024,
                                 .user_timeout_ms = 12345};
    open_ok(&l, &o);
    int clients[16];
    for (int i = 0; i < 16; i++)
        clients[i] = connect_loopback(AF_INET, port_of(l.fds[0]));
    for (int i = 0; i < l.fds_len; i++) {
        int listening = option_of(l.fds[i], SOL_SOCKET, SO_SNDBUF);
        for (int fd; (fd = listener_accept(l.fds[i])) >= 0;) {
            assert_flags(fd);
            assert_true(option_of(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
            assert_int_equal(option_of(fd, SOL_SOCKET, SO_SNDBUF), listening);
            assert_in_range(listening, 64 * 1024, 2 * 64 * 1024); /* Linux doubles */
#ifdef TCP_USER_TIMEOUT
            assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
#endif
            close(fd);
        }
    }
    for (int i = 0; i < 16; i++)
        close(clients[i]);
    listener_fini(&l);
}

static void what_the_kernel_accepted_is_served_and_the_rest_refused(void **state) {
    (void)state;
#ifdef __linux__
    enum { CLIENTS = 16 };
    struct listener l;
    int clients[CLIENTS], served = 0;
    open_host(&l, "127.0.0.1", 0, 2);
    unsigned port = port_of(l.fds[0]);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_loopback(AF_INET, port);
    for (int i = 0; i < l.fds_len; i++)
        listener_quiesce(l.fds[i]);
    int late = start_connect(AF_INET, port);
    for (int i = 0; i < l.fds_len; i++) {
        for (int fd; (fd = listener_accept(l.fds[i])) >= 0; served++) {
            struct sockaddr_in peer, self;
            socklen_t len = sizeof(peer);
            getpeername(fd, (struct sockaddr *)&peer, &len);
            for (int k = 0; k < CLIENTS; k++) {
                len = sizeof(self);
                getsockname(clients[k], (struct sockaddr *)&self, &len);
                if (self.sin_port == peer.sin_port)
                    assert_connected(clients[k], fd);
            }
            close(fd);
        }
        assert_int_equal(errno, EAGAIN);
    }
    assert_int_equal(served, CLIENTS);
    listener_fini(&l);
    assert_int_equal(connect_result(late), ECONNREFUSED);
    close(late);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
#endif
}

static void loopback_is_told_by_the_address(void **state) {
    (void)state;
    static const struct {
        const char *host;
        bool loopback;
    } cases[] = {{"127.0.0.1", true}, {"127.1.2.3", true}, {"0.0.0.0", false}, {NULL, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct listener l;
        open_host(&l, cases[i].host, 0, 1);
        assert_int_equal(l.loopback, cases[i].loopback);
        listener_fini(&l);
    }
}

static void no_host_is_every_address(void **state) {
    (void)state;
    struct listener l;
    open_host(&l, "", 0, 2);
    int client = connect_loopback(AF_INET, port_of(l.fds[0]));
    close(client);
    if (has_ipv6()) {
        client = connect_loopback(AF_INET6, port_of(l.fds[0]));
        close(client);
    }
    listener_fini(&l);
}

static void an_ipv6_address_takes_no_ipv4(void **state) {
    (void)state;
    if (!has_ipv6())
        skip();
    struct listener six, four;
    char url[64];
    open_host(&six, "::", 0, 2);
    unsigned port = port_of(six.fds[0]);
    open_host(&four, "0.0.0.0", port, 2);
    listener_fini(&four);
    snprintf(url, sizeof(url), "http://[::]:%u/", port);
    assert_string_equal(six.url, url);
    assert_false(six.loopback);
    struct listener_options same = {.host = "::", .port = port, .sockets = 2};
    snprintf(url, sizeof(url), "[::]:%u", port);
    assert_refused(&same, RELAY_EADDRINUSE, url);
    listener_fini(&six);
    open_host(&six, "::1", 0, 1);
    assert_true(six.loopback);
    listener_fini(&six);
}

static void an_address_of_others_is_an_error(void **state) {
    (void)state;
    struct listener_options foreign = {.host = "192.0.2.1", .port = 0, .sockets = 2};
    struct listener_options no_name = {.host = "not a name", .port = 7, .sockets = 2};
    assert_refused(&foreign, RELAY_EIO, "192.0.2.1:0");
    assert_refused(&no_name, RELAY_EIO, "not a name:7");
}

/* --- unix --- */

static void a_path_has_one_socket_that_is_removed(void **state) {
    (void)state;
    struct place p;
    struct listener l;
    char url[128];
    place_init(&p);
    open_ok(&l, &(struct listener_options){.path = p.path, .sockets = 4});
    assert_int_equal(l.fds_len, 1);
    assert_flags(l.fds[0]);
    assert_false(l.loopback);
    snprintf(url, sizeof(url), "unix:%s", p.path);
    assert_string_equal(l.url, url);
    int client = connect_path(p.path);
    assert_return_code(client, errno);
    int server = accept_waiting(l.fds[0]);
    assert_flags(server);
    assert_connected(client, server);
    close(client);
    close(server);
    assert_nobody_waits(l.fds[0]);
    assert_refused(&(struct listener_options){.path = p.path, .sockets = 1}, RELAY_EADDRINUSE,
                   p.path);
    close(accept_waiting(l.fds[0])); /* the attempt asked whether somebody is there */
    listener_fini(&l);
    assert_int_equal(access(p.path, F_OK), -1);
    place_fini(&p);
}

static void a_stale_path_is_replaced(void **state) {
    (void)state;
    struct place p;
    struct listener l;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    place_init(&p);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", p.path);
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_return_code(bind(dead, (struct sockaddr *)&a, sizeof(a)), errno);
    assert_return_code(listen(dead, 1), errno);
    close(dead);
    assert_return_code(access(p.path, F_OK), errno);
    open_ok(&l, &(struct listener_options){.path = p.path, .sockets = 1});
    int client = connect_path(p.path);
    assert_return_code(client, errno);
    close(client);
    listener_fini(&l);
    place_fini(&p);
}

static void a_file_that_is_no_socket_is_left_alone(void **state) {
    (void)state;
    struct place p;
    place_init(&p);
    int fd = open(p.path, O_WRONLY | O_CREAT, 0600);
    assert_return_code(fd, errno);
    close(fd);
    assert_refused(&(struct listener_options){.path = p.path, .sockets = 1}, RELAY_EIO,
                   "no socket");
    assert_return_code(access(p.path, F_OK), errno);
    place_fini(&p);
}

static void the_path_of_a_successor_is_left_alone(void **state) {
    (void)state;
    struct place p;
    struct listener first, second;
    place_init(&p);
    open_ok(&first, &(struct listener_options){.path = p.path, .sockets = 1});
    /* Moved, not unlinked, or its successor could be given its inode. */
    char aside[96];
    snprintf(aside, sizeof(aside), "%s.old", p.path);
    assert_return_code(rename(p.path, aside), errno);
    open_ok(&second, &(struct listener_options){.path = p.path, .sockets = 1});
    listener_fini(&first);
    int client = connect_path(p.path);
    assert_return_code(client, errno);
    close(client);
    listener_fini(&second);
    unlink(aside);
    place_fini(&p);
}

static void a_path_that_cannot_be_is_an_error(void **state) {
    (void)state;
    char path[300] = "/";
    memset(path + 1, 'x', sizeof(path) - 2);
    assert_refused(&(struct listener_options){.path = path}, RELAY_EIO, "choose another path");
    assert_refused(&(struct listener_options){.path = "/nowhere/at/all"}, RELAY_EIO,
                   "unix:/nowhere/at/all");
}

static void a_quiet_path_serves_those_who_wait(void **state) {
    (void)state;
#ifdef __linux__
    struct place p;
    struct listener l;
    place_init(&p);
    open_ok(&l, &(struct listener_options){.path = p.path, .sockets = 1});
    int client = connect_path(p.path);
    assert_return_code(client, errno);
    listener_quiesce(l.fds[0]);
    assert_int_equal(connect_path(p.path), -1);
    assert_int_equal(errno, ECONNREFUSED);
    int server = listener_accept(l.fds[0]);
    assert_return_code(server, errno);
    assert_connected(client, server);
    assert_nobody_waits(l.fds[0]);
    listener_fini(&l);
    close(client);
    close(server);
    place_fini(&p);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sockets_have_the_port_that_was_chosen),
        cmocka_unit_test(a_second_relay_is_refused),
        cmocka_unit_test(a_name_is_not_shared_by_its_addresses),
        cmocka_unit_test(the_address_is_free_when_all_are_closed),
        cmocka_unit_test(connections_are_spread_over_the_sockets),
        cmocka_unit_test(accepted_sockets_inherit_the_options),
        cmocka_unit_test(what_the_kernel_accepted_is_served_and_the_rest_refused),
        cmocka_unit_test(loopback_is_told_by_the_address),
        cmocka_unit_test(no_host_is_every_address),
        cmocka_unit_test(an_ipv6_address_takes_no_ipv4),
        cmocka_unit_test(an_address_of_others_is_an_error),
        cmocka_unit_test(a_path_has_one_socket_that_is_removed),
        cmocka_unit_test(a_stale_path_is_replaced),
        cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
        cmocka_unit_test(the_path_of_a_successor_is_left_alone),
        cmocka_unit_test(a_path_that_cannot_be_is_an_error),
        cmocka_unit_test(a_quiet_path_serves_those_who_wait),
    };
    return cmocka_run_group_tests_name("http/listener", tests, NULL, NULL);
}
