/* See signals.h. */
#include "relay/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

static const struct watched {
    int number;
    enum signal_request request;
} watched[] = {
    {SIGTERM, SIGNAL_END_NOW}, {SIGINT, SIGNAL_END_NOW}, {SIGQUIT, SIGNAL_END_NOW},
    {SIGXCPU, SIGNAL_END},     {SIGHUP, SIGNAL_RELOAD},  {SIGUSR1, SIGNAL_NOTHING},
    {SIGUSR2, SIGNAL_NOTHING},
#ifdef SIGPWR
    {SIGPWR, SIGNAL_END},
#endif
};

enum { WATCHED_LEN = sizeof(watched) / sizeof(watched[0]) };

/* What a handler can reach; nothing is handed to it. uv_signal would put each signal into a pipe: a
 * flood of those that mean nothing fills it, and then the one that ends the relay is lost. */
static struct {
    atomic_uint came[WATCHED_LEN];
    uv_async_t *wake;
} caught;

/* SIGPIPE: write(2) says it. SIGXFSZ likewise, for a log that has grown too large. */
static const int ignored[] = {
    SIGPIPE,   SIGXFSZ, SIGALRM, SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2,
#ifdef SIGIO
    SIGIO,
#endif
#ifdef SIGSTKFLT
    SIGSTKFLT,
#endif
};

static const int of_a_crash[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

static void handle(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(number, &action, NULL);
}

void signals_ignore(void) {
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        handle(ignored[i], SIG_IGN);
#ifdef SIGRTMIN
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        handle(number, SIG_IGN);
#endif
}

void signals_hold(sigset_t *old) {
    sigset_t held;
    sigfillset(&held);
    for (size_t i = 0; i < sizeof(of_a_crash) / sizeof(of_a_crash[0]); i++)
        sigdelset(&held, of_a_crash[i]);
    pthread_sigmask(SIG_BLOCK, &held, old);
}

void signals_let(const sigset_t *old) {
    pthread_sigmask(SIG_SETMASK, old, NULL);
}

static bool has_terminal(void) {
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool is_ignored(int number) {
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void on_caught(int number) {
    int kept = errno;
    for (unsigned i = 0; i < WATCHED_LEN; i++)
        if (watched[i].number == number)
            atomic_fetch_add(&caught.came[i], 1);
    uv_async_send(caught.wake);
    errno = kept;
}

static void tell(const struct signals *s, const struct watched *w, unsigned times) {
    enum signal_request request = w->request;
    if (w->number == SIGHUP && s->ends_with_terminal && !has_terminal())
        request = SIGNAL_END;
    s->cb(s->ctx, request, w->number);
    if (times > 1 && request == SIGNAL_END_NOW)
        s->cb(s->ctx, request, w->number);
}

/* With the signals held: a flood of them would leave no time for what is done about one. */
static void on_wake(uv_async_t *wake) {
    sigset_t old;
    signals_hold(&old);
    for (unsigned i = 0; i < WATCHED_LEN; i++) {
        unsigned times = atomic_exchange(&caught.came[i], 0);
        if (times > 0 && !uv_is_closing((uv_handle_t *)wake))
            tell(wake->data, &watched[i], times);
    }
    signals_let(&old);
}

void signals_start(struct signals *s, uv_loop_t *loop, signals_cb cb, void *ctx) {
    *s = (struct signals){.cb = cb, .ctx = ctx};
    s->ends_with_terminal = has_terminal() && !is_ignored(SIGHUP);
    uv_async_init(loop, &s->wake, on_wake);
    s->wake.data = s;
    caught.wake = &s->wake;
    for (unsigned i = 0; i < WATCHED_LEN; i++)
        handle(watched[i].number, on_caught);
}

void signals_close(struct signals *s) {
    for (unsigned i = 0; i < WATCHED_LEN; i++) {
        bool ends = watched[i].request == SIGNAL_END || watched[i].request == SIGNAL_END_NOW;
        handle(watched[i].number, ends ? SIG_DFL : SIG_IGN);
    }
    if (!uv_is_closing((uv_handle_t *)&s->wake))
        uv_close((uv_handle_t *)&s->wake, NULL);
}
