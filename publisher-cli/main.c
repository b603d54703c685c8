/* sse-publish: publishes events through Redis; see options.h and publish.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "publisher-cli/options.h"
#include "publisher-cli/publish.h"
#include "relay/base/err.h"

static int run(const struct options *o) {
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0) {
        fputs("sse-publish: the system has no event loop for us\n", stderr);
        return EXIT_UNREACHABLE;
    }
    int code = publish_run(o, &loop, 0, stdout, stderr);
    if (uv_loop_close(&loop) != 0)
        abort(); /* a handle was forgotten */
    return code;
}

int main(int argc, char **argv) {
    struct options o;
    struct buf why = BUF_INIT;
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ); /* whole lines, where others write to it as well */
    if (options_read(&o, argc, argv, getenv("REDIS_URL"), &why) != RELAY_OK) {
        fprintf(stderr, "sse-publish: %s.\n`sse-publish --help` shows what can be given.\n",
                why.data);
        buf_fini(&why);
        return EXIT_USAGE;
    }
    int code = EXIT_PUBLISHED;
    if (o.command == COMMAND_HELP)
        fputs(options_help(), stdout);
    else if (o.command == COMMAND_VERSION)
        puts("sse-publish " SSE_VERSION);
    else
        code = run(&o);
    options_fini(&o);
    buf_fini(&why);
    return code;
}
