/* What a publish prints; see printer.h. */
#include "publisher-cli/publish/printer.h"

#include <errno.h>
#include <inttypes.h>

void printer_init(struct printer *p, FILE *file, const struct options *o) {
    *p = (struct printer){
        .file = file, .is_quiet = o->is_quiet, .is_json = o->output == OUTPUT_JSON};
}

void printer_fini(struct printer *p) {
    buf_fini(&p->text);
}

static void put_object(struct buf *text, const struct written *written) {
    struct publish_topic topic = batch_topic_of(written->batch, written->item);
    uint64_t line = written->batch->items[written->item].number;
    buf_puts(text, "{\"topic\":");
    buf_put_json(text, topic.name, topic.len);
    if (line > 0)
        buf_printf(text, ",\"line\":%" PRIu64, line);
    if (written->id == NULL) {
        buf_printf(text, ",\"id\":null,\"subscribers\":%lld}\n", written->subscribers);
        return;
    }
    buf_puts(text, ",\"id\":\"");
    buf_append(text, written->id, written->id_len);
    buf_printf(text, "\",\"duplicate\":%s}\n", written->is_duplicate ? "true" : "false");
}

void printer_put(struct printer *p, const struct written *written) {
    if (p->is_quiet || p->error != 0)
        return;
    if (p->is_json) {
        put_object(&p->text, written);
    } else if (written->id != NULL) {
        buf_append(&p->text, written->id, written->id_len);
        buf_putc(&p->text, '\n');
    }
}

bool printer_is_due(const struct printer *p, uint64_t now_ms) {
    return p->text.len >= PRINTER_FLUSH_BYTES || now_ms - p->flushed_ms >= PRINTER_FLUSH_MS;
}

int printer_flush(struct printer *p, uint64_t now_ms) {
    p->flushed_ms = now_ms;
    if (p->text.len == 0 || p->error != 0)
        return p->error;
    errno = 0;
    if (fwrite(p->text.data, 1, p->text.len, p->file) < p->text.len || fflush(p->file) != 0)
        p->error = errno != 0 ? errno : EIO;
    buf_reset(&p->text);
    return p->error;
}
