/* sse-relay: reads the configuration and runs the relay. */
#include <stdio.h>

#include "relay/app.h"
#include "relay/config/config.h"

extern char **environ;

int main(int argc, char **argv) {
    struct config config;
    struct buf message = BUF_INIT;
    int exit_code = APP_EXIT_USAGE;
    switch (config_load(&config, argc, argv, environ, &message)) {
    case CONFIG_EXIT_OK:
        exit_code =
            fputs(message.data, stdout) >= 0 && fflush(stdout) == 0 ? APP_EXIT_OK : APP_EXIT_FAILED;
        break;
    case CONFIG_EXIT_USAGE:
        fputs(message.data, stderr);
        break;
    case CONFIG_RUN:
        log_init(config.log_level, config.log_format);
        exit_code = app_run(&config);
        config_fini(&config);
        break;
    }
    buf_fini(&message);
    return exit_code;
}
