/* The signals of the process: which end the relay, which reload it, and which do nothing.
 *
 * - SIGTERM, SIGINT, SIGQUIT: end it, with a drain; once more: at once.
 * - SIGXCPU, SIGPWR: end it, with a drain.
 * - SIGHUP: reloads; where it means that the terminal of the relay is gone, ends it.
 * - SIGUSR1, SIGUSR2: do nothing, and the log says so.
 * - All others that would end it by default do nothing, but for SIGKILL and those of a crash
 *   (SIGSEGV, SIGABRT and their like), which nothing should catch.
 *
 * However many come, each turn of the loop reloads once at most, and none that ends it is lost.
 *
 * One per process. Main thread; its callbacks too. It must not know what ending or reloading is. */
#ifndef RELAY_SIGNALS_H
#define RELAY_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <uv.h>

enum signal_request {
    SIGNAL_END,     /* drain */
    SIGNAL_END_NOW, /* drain, or where that has begun, end at once */
    SIGNAL_RELOAD,
    SIGNAL_NOTHING /* only to be told */
};

typedef void (*signals_cb)(void *ctx, enum signal_request request, int number);

struct signals {
    uv_async_t wake;
    bool ends_with_terminal; /* it was started on one, and not by nohup */
    signals_cb cb;
    void *ctx;
};

/* Have those that are to do nothing do nothing from now on. First thing in the process, so that
 * children inherit it. Until signals_start(), those that end it do so without a drain, since there
 * is nothing to drain. */
void signals_ignore(void);

/* Keep the calling thread, and those that it makes from now on, from being interrupted, until
 * signals_let(). The signals of a crash are not kept back. @old gets what signals_let() needs. */
void signals_hold(sigset_t *old);
void signals_let(const sigset_t *old);

/* Watch the others on @loop and call @cb for what has come since its last turn: twice for those
 * that came more than once and mean more then, and once for all others. */
void signals_start(struct signals *s, uv_loop_t *loop, signals_cb cb, void *ctx);

/* Watch no more; the loop has to run once more for its handle to be closed. May be called twice.
 * From then on SIGHUP does nothing, and the others end the process as they would any other. */
void signals_close(struct signals *s);

#endif
