/* Which source the options ask for; see source.h. */
#include "publisher-cli/input/source.h"

#include "publisher-cli/options/options.h"
#include "relay/base/err.h"

bool source_has_lines(const struct options *o) {
    return o->command == COMMAND_REPLAY ||
           (o->command == COMMAND_PUBLISH && o->input != INPUT_WHOLE);
}

static struct files_options files_of(const struct options *o, int in_fd) {
    return (struct files_options){.names = o->files,
                                  .count = o->files_count,
                                  .in_fd = in_fd,
                                  .repeat = o->repeat,
                                  .first = o->resume_from};
}

int source_check(const struct options *o, int in_fd, struct buf *why) {
    const struct files_options files = files_of(o, in_fd);
    return source_has_lines(o) ? files_check(&files, why) : RELAY_OK;
}

struct source *source_open(const struct options *o, uv_loop_t *loop, int in_fd,
                           void (*on_wake)(void *), void *arg) {
    const struct files_options files = files_of(o, in_fd);
    struct source *source;
    if (o->command == COMMAND_CLOCK)
        return source_clock_new(loop, o->every_ms, on_wake, arg);
    if (o->command == COMMAND_LETTERS)
        return source_letters_new(loop, o->every_ms, on_wake, arg);
    if (o->command == COMMAND_REPLAY)
        return source_timed_new(loop, source_ndjson_new(loop, &files, true, on_wake, arg),
                                o->speed);
    if (o->input == INPUT_NDJSON)
        source = source_ndjson_new(loop, &files, false, on_wake, arg);
    else if (o->input == INPUT_LINES)
        source = source_lines_new(loop, &files, on_wake, arg);
    else if (o->data != NULL)
        source = source_text_new(o->data, o->repeat, on_wake, arg);
    else
        source = source_whole_new(loop, in_fd, o->may_be_empty, o->repeat, on_wake, arg);
    return o->rate > 0 ? source_paced_new(loop, source, o->rate) : source;
}
