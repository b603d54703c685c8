/* sse-relay: reads the configuration and runs the relay, or asks one that runs how it is. */
#include <stdio.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "relay/app.h"
#include "relay/base/stdio.h"
#include "relay/config/config.h"
#include "relay/file_check.h"
#include "relay/health_check.h"

extern char **environ;

/* Memory of large events goes back to the system: without this, glibc keeps what was once freed in
 * one large piece for reuse. */
static void return_large_blocks(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#endif
}

int main(int argc, char **argv) {
    struct config config;
    struct buf message = BUF_INIT;
    int exit_code = APP_EXIT_USAGE;
    stdio_fill();
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_AUTO); /* until the configuration says otherwise */
    const struct config_sources sources = {.argc = argc, .argv = argv, .env = environ};
    enum config_action action = config_load(&config, argc, argv, environ, &message);
    switch (action) {
    case CONFIG_EXIT_OK:
        exit_code =
            fputs(message.data, stdout) >= 0 && fflush(stdout) == 0 ? APP_EXIT_OK : APP_EXIT_FAILED;
        break;
    case CONFIG_EXIT_USAGE:
        fprintf(stderr, "%s%s", log_priority(LOG_LEVEL_ERROR), message.data);
        break;
    case CONFIG_CHECK_FILES:
        exit_code = file_check(&config);
        config_fini(&config);
        break;
    case CONFIG_CHECK_HEALTH:
    case CONFIG_CHECK_READY:
        exit_code = health_check(&config, action == CONFIG_CHECK_READY ? "/readyz" : "/healthz");
        config_fini(&config);
        break;
    case CONFIG_RUN:
        return_large_blocks();
        log_init(config.log_level, config.log_format);
        exit_code = app_run(&config, &sources);
        config_fini(&config);
        break;
    }
    buf_fini(&message);
    return exit_code;
}
