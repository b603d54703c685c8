/* A replay that waits; see replay_waiting.h. */
#include "relay/bus/replay_waiting.h"

#include <stdlib.h>

#include "relay/bus/log_pages.h"

void waiting_drop_page(struct waiting *w, size_t i) {
    if (w->pages[i] != NULL)
        page_put(w->pages[i]);
    w->pages[i] = NULL;
}

void waiting_drop_pages(struct waiting *w) {
    for (size_t i = 0; w->pages != NULL && i < w->request->topics_len; i++)
        waiting_drop_page(w, i);
    free(w->pages);
    w->pages = NULL;
}

void waiting_free(struct waiting *w) {
    waiting_drop_pages(w);
    free(w->found);
    free(w->request);
    free(w);
}
