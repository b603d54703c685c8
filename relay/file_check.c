/* Reading all files once; see file_check.h. */
#include "relay/file_check.h"

#include <stdio.h>

#include "relay/app.h"
#include "relay/base/err.h"
#include "relay/tls_files.h"
#include "relay/token_keys.h"

int file_check(const struct config *config) {
    struct token_keys keys;
    struct tls_files tls = {0};
    struct buf why = BUF_INIT;
    int exit_code = APP_EXIT_FAILED;
    if (token_keys_init(&keys, config, &why) != RELAY_OK ||
        tls_files_init(&tls, config, &why) != RELAY_OK)
        fprintf(stderr, "sse-relay: %s\n", why.data);
    else if (puts("configuration is valid") >= 0 && fflush(stdout) == 0)
        exit_code = APP_EXIT_OK;
    tls_files_fini(&tls);
    token_keys_fini(&keys);
    buf_fini(&why);
    return exit_code;
}
