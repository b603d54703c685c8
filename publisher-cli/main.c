/* sse-publish: reads the arguments and runs the command; see options.h and table.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/options/generate.h"
#include "publisher-cli/options/help.h"
#include "publisher-cli/options/options.h"
#include "publisher-cli/options/table.h"
#include "relay/base/err.h"
#include "relay/base/stdio.h"

static int run(const struct options *o) {
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0) {
        complain(stderr, "the system has no event loop for us");
        return EXIT_UNREACHABLE;
    }
    int code = command_row_of(o->command)->run(o, &loop, stdout, stderr);
    if (uv_loop_close(&loop) != 0)
        abort(); /* a handle was forgotten */
    return code;
}

/* What is asked about the program itself. False: it is none of this. */
static bool put_answer(const struct options *o, struct buf *out) {
    switch (o->command) {
    case COMMAND_HELP:
        help_put(o->help_on, out);
        return true;
    case COMMAND_VERSION:
        buf_puts(out, "sse-publish " SSE_VERSION "\n");
        return true;
    case COMMAND_GENERATE:
        generate_put(o->generated, out);
        return true;
    default:
        return false;
    }
}

static int print(const struct buf *text) {
    if (fputs(text->data, stdout) >= 0 && fflush(stdout) == 0)
        return EXIT_DONE;
    if (errno != EPIPE)
        complain(stderr, "cannot write to standard output: %s", strerror(errno));
    return EXIT_REFUSED;
}

static const char *from_environment(const char *name) {
    return getenv(name);
}

int main(int argc, char **argv) {
    struct options o;
    struct buf why = BUF_INIT;
    stdio_fill();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ); /* whole lines, where others write to it as well */
    if (options_read(&o, argc, argv, from_environment, &why) != RELAY_OK) {
        const char *stop = why.data[why.len - 1] == '?' ? "" : ".";
        complain(stderr, "%s%s\n`sse-publish --help` shows what can be given.", why.data, stop);
        buf_fini(&why);
        return EXIT_USAGE;
    }
    struct buf answer = BUF_INIT;
    int code = put_answer(&o, &answer) ? print(&answer) : run(&o);
    buf_fini(&answer);
    options_fini(&o);
    buf_fini(&why);
    return code;
}
