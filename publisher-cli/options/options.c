/* Reading the arguments; see options.h.
 *
 * First they are told apart: words, and options with their values, for which it does not matter
 * what the command is. Then the first word says what the command is, the options are read into
 * their fields by their rows, and the words get their meaning. What does not go together is
 * refused at the end, when all of it is known. */
#include "publisher-cli/options/options.h"

#include <stdlib.h>
#include <string.h>

#include "publisher-cli/options/table.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"
#include "relay/wire/publish_script.h"
#include "relay/wire/topic.h"

enum { TOPICS_MAX = 256, LINE_DIGITS = 20 };

/* An option as it was given. */
struct given {
    const struct option_row *row; /* one of its name; which of them, the command decides */
    const char *value;            /* NULL: a flag */
};

struct reader {
    struct options o;
    const struct command_row *command;
    struct given *given;
    size_t given_count;
    const char **words; /* those that are no options and no command */
    size_t words_count;
    bool may_be_command;     /* the first word stood before a -- */
    bool command_is_implied; /* and it is none */
    struct buf *why;
};

static int refuse(struct reader *r, const char *sentence) {
    buf_puts(r->why, sentence);
    return RELAY_EINVAL;
}

/* @what "text", or @what alone where the text would do something to a terminal. */
static void put_named(struct buf *why, const char *what, const char *text, size_t len) {
    buf_puts(why, what);
    if (utf8_valid(text, len) && !utf8_has_control(text, len) && len <= TOPIC_MAX_BYTES) {
        buf_putc(why, ' ');
        buf_put_json(why, text, len);
    }
}

static int refuse_named(struct reader *r, const char *what, const char *text, const char *wrong) {
    put_named(r->why, what, text, strlen(text));
    buf_printf(r->why, " %s", wrong);
    return RELAY_EINVAL;
}

/* ---- the arguments told apart ---- */

/* What stands behind = is not repeated: it may be a secret. */
static int refuse_unknown(struct reader *r, const char *argument) {
    size_t len = strcspn(argument, "=");
    char *name = mem_strndup(argument, len);
    const struct option_row *suggestion = len > 2 ? option_row_suggest(name + 2) : NULL;
    put_named(r->why, "there is no option", argument, len);
    if (suggestion != NULL)
        buf_printf(r->why, "; was --%s meant?", suggestion->name);
    else
        buf_puts(r->why, "; data that begins with - goes behind --");
    free(name);
    return RELAY_EINVAL;
}

/* The option that @argument names; its own value, in the same argument, goes to *@value. */
static const struct option_row *find_option(const char *argument, const char **value) {
    *value = NULL;
    if (argument[1] != '-') {
        const struct option_row *row = option_row_lettered(argument[1]);
        if (row != NULL && argument[2] != '\0')
            *value = argument + 2;
        return row != NULL && row->value == NULL && *value != NULL ? NULL : row;
    }
    size_t len = strcspn(argument + 2, "=");
    if (argument[2 + len] == '=')
        *value = argument + 2 + len + 1;
    return option_row_named(argument + 2, len, COMMAND_PUBLISH);
}

/* Take the option at @argv[i]; returns the index of the last argument that it took, or a code. */
static int take_option(struct reader *r, int i, int argc, char **argv) {
    const char *value;
    const struct option_row *row = find_option(argv[i], &value);
    if (row == NULL)
        return refuse_unknown(r, argv[i]);
    if (row->value == NULL && value != NULL) {
        buf_printf(r->why, "--%s takes no value", row->name);
        return RELAY_EINVAL;
    }
    if (row->value != NULL && value == NULL && ++i < argc)
        value = argv[i];
    if (row->value != NULL && value == NULL) {
        buf_printf(r->why, "--%s needs a value behind it: --%s %s", row->name, row->name,
                   row->value);
        return RELAY_EINVAL;
    }
    r->given[r->given_count++] = (struct given){row, value};
    return i;
}

static int collect(struct reader *r, int argc, char **argv) {
    bool only_words = false; /* a -- came */
    for (int i = 1; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
            r->may_be_command = r->may_be_command || (r->words_count == 0 && !only_words);
            r->words[r->words_count++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else {
            i = take_option(r, i, argc, argv);
            if (i < 0)
                return i;
        }
    }
    return RELAY_OK;
}

/* ---- the command ---- */

static const struct given *find_given(const struct reader *r, const char *name) {
    for (size_t i = 0; i < r->given_count; i++)
        if (strcmp(r->given[i].row->name, name) == 0)
            return &r->given[i];
    return NULL;
}

static bool is_given(const struct reader *r, const char *name) {
    return find_given(r, name) != NULL;
}

/* The first word is the command, if there is one of that name. */
static void read_command(struct reader *r) {
    const struct command_row *named = r->may_be_command ? command_row_named(r->words[0]) : NULL;
    r->command = named != NULL ? named : command_row_of(COMMAND_PUBLISH);
    r->command_is_implied = named == NULL;
    r->o.command = r->command->command;
    r->o.help_on = COMMAND_HELP;
    if (named == NULL)
        return;
    r->words++;
    r->words_count--;
    r->o.help_on = named->command;
}

static int read_help(struct reader *r) {
    size_t len;
    const struct command_row *rows = command_rows(&len);
    const struct command_row *named = r->words_count > 0 ? command_row_named(r->words[0]) : NULL;
    if (named != NULL)
        r->o.help_on = named->command;
    if (named != NULL || r->words_count == 0)
        return RELAY_OK;
    put_named(r->why, "there is no command", r->words[0], strlen(r->words[0]));
    buf_puts(r->why, "; there are");
    for (size_t i = 0; i < len; i++)
        buf_printf(r->why, "%s %s", i > 0 ? "," : "", rows[i].name);
    return RELAY_EINVAL;
}

/* @what is where it was given: --history, REDIS_URL. */
static int read_value(struct reader *r, const struct option_row *row, const char *what,
                      const char *text) {
    const char *wrong = option_row_read(row, text, &r->o);
    if (wrong == NULL)
        return RELAY_OK;
    if (row->is_secret)
        buf_printf(r->why, "%s %s", what, wrong);
    else
        refuse_named(r, what, text, wrong);
    if (row->is_secret && row->fallback != NULL)
        buf_printf(r->why, "; an example is %s", row->fallback);
    else if (row->allowed != NULL)
        buf_printf(r->why, "; allowed: %s", row->allowed);
    return RELAY_EINVAL;
}

/* --help, --version and --generate are answered even where the rest is wrong. Whether it is one of
 * them, with its status. */
static bool is_question(struct reader *r, int *status) {
    const struct given *generate = find_given(r, "generate");
    *status = RELAY_OK;
    if (is_given(r, "help")) {
        r->o.command = COMMAND_HELP;
    } else if (is_given(r, "version")) {
        r->o.command = COMMAND_VERSION;
    } else if (generate != NULL) {
        *status = read_value(r, generate->row, "--generate", generate->value);
        r->o.command = COMMAND_GENERATE;
    } else if (r->o.command == COMMAND_HELP) {
        *status = read_help(r);
    } else {
        return false;
    }
    return true;
}

/* ---- options ---- */

static int refuse_not_taken(struct reader *r, const struct option_row *row) {
    size_t len, count = 0, told = 0;
    const struct command_row *commands = command_rows(&len);
    for (size_t i = 0; i < len; i++)
        count += option_row_is_taken(row, commands[i].command);
    buf_printf(r->why, "--%s is for", row->name);
    for (size_t i = 0; i < len; i++) {
        if (!option_row_is_taken(row, commands[i].command))
            continue;
        told++;
        buf_printf(r->why, "%s %s",
                   told == 1       ? ""
                   : told == count ? " and"
                                   : ",",
                   commands[i].name);
    }
    buf_printf(r->why, ", not for %s", r->command->name);
    return RELAY_EINVAL;
}

static int read_given(struct reader *r, const struct given *given) {
    const struct option_row *row = given->row;
    row = option_row_named(row->name, strlen(row->name), r->o.command);
    if (!option_row_is_taken(row, r->o.command))
        return refuse_not_taken(r, row);
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)((char *)&r->o + row->offset) = true;
        return RELAY_OK;
    case OPTION_INPUT:
        if (r->o.input != INPUT_WHOLE && r->o.input != (enum input_kind)row->min)
            return refuse(r, "--lines and --ndjson do not go together: a line is one or the other");
        r->o.input = (enum input_kind)row->min;
        return RELAY_OK;
    case OPTION_TOPIC:
        r->o.topics[r->o.topics_count++] = given->value;
        return RELAY_OK;
    case OPTION_ACTION:
        return RELAY_OK;
    default: {
        char what[64];
        snprintf(what, sizeof(what), "--%s", row->name);
        return read_value(r, row, what, given->value);
    }
    }
}

/* What the table gives where the arguments do not: the environment, then the default. */
static int read_fallback(struct reader *r, const struct option_row *row, options_env env) {
    const char *variable = row->env != NULL ? env(row->env) : NULL;
    if (!option_row_is_taken(row, r->o.command) || is_given(r, row->name))
        return RELAY_OK;
    if (variable != NULL && *variable != '\0')
        return read_value(r, row, row->env, variable);
    return row->fallback != NULL ? read_value(r, row, row->name, row->fallback) : RELAY_OK;
}

/* A word alone that is nearly a command is asked about, before what else is wrong with it: `doctr`
 * in place of `doctor` would publish an event, or wait for one to be typed. With data behind it,
 * behind
 * `--`, as -t, or as the topic of many lines, it is a topic. */
static int check_lone_word(struct reader *r) {
    if (!r->may_be_command || !r->command_is_implied || r->words_count != 1 ||
        is_given(r, "topic") || is_given(r, "lines") || is_given(r, "ndjson") ||
        is_given(r, "empty"))
        return RELAY_OK;
    const char *word = r->words[0];
    const struct command_row *suggestion = command_row_near(word);
    if (suggestion == NULL)
        return RELAY_OK;
    put_named(r->why, "there is no command", word, strlen(word));
    buf_printf(r->why, "; to publish to a topic of that name: sse-publish -t %s; or was %s meant?",
               word, suggestion->name);
    return RELAY_EINVAL;
}

static int read_options(struct reader *r, options_env env) {
    size_t len;
    const struct option_row *rows = option_rows(&len);
    int status = RELAY_OK;
    for (size_t i = 0; i < len && status == RELAY_OK; i++)
        status = read_fallback(r, &rows[i], env);
    if (!is_given(r, "history"))
        r->o.history = r->command->history;
    r->o.every_ms = r->command->every_ms;
    for (size_t i = 0; i < r->given_count && status == RELAY_OK; i++)
        status = read_given(r, &r->given[i]);
    return status;
}

/* ---- words ---- */

static int refuse_missing(struct reader *r, const char *what) {
    const struct command_row *command = r->command;
    bool is_named = command->command != COMMAND_PUBLISH;
    const char *synopsis = command->synopses[r->o.input == INPUT_LINES ? 2 : 0];
    buf_printf(r->why, "there is no %s: sse-publish %s%s%s", what, is_named ? command->name : "",
               is_named ? " " : "", synopsis);
    return RELAY_EINVAL;
}

/* TOPIC [DATA], or with lines TOPIC [FILE]...; no TOPIC where -t gave some or each line may. */
static int read_publish_words(struct reader *r) {
    const char **words = r->words;
    size_t count = r->words_count;
    bool is_whole = r->o.input == INPUT_WHOLE;
    if (r->o.topics_count == 0 && r->o.input != INPUT_NDJSON) {
        if (count == 0)
            return refuse_missing(r, "topic");
        const struct command_row *suggestion =
            r->may_be_command && r->command_is_implied ? command_row_near(words[0]) : NULL;
        r->o.suggested_command = suggestion != NULL ? suggestion->name : NULL;
        r->o.topics[r->o.topics_count++] = *words++;
        count--;
    }
    if (!is_whole && r->o.is_empty)
        return refuse(r, "--empty is one event: --lines and --ndjson do not go with it");
    if (!is_whole) {
        r->o.files_count = count;
        memcpy(r->o.files, words, count * sizeof(*words));
        return RELAY_OK;
    }
    if (count > 1)
        return refuse(r, "there are too many arguments: data with spaces needs quotes, and several "
                         "topics are -t TOPIC each");
    r->o.may_be_empty = count == 1 && strcmp(words[0], "-") == 0;
    r->o.data = count == 1 && !r->o.may_be_empty ? words[0] : NULL;
    if (r->o.is_empty && count == 1)
        return refuse(r, "--empty is an event without data: DATA or - does not go with it");
    if (r->o.is_empty)
        r->o.data = "";
    return RELAY_OK;
}

static int read_words(struct reader *r) {
    const struct command_row *command = r->command;
    bool is_topics = command->words == WORDS_TOPICS || command->words == WORDS_PATTERN;
    const char **list = is_topics ? r->o.topics : r->o.files;
    size_t *count = is_topics ? &r->o.topics_count : &r->o.files_count;
    if (command->words == WORDS_PUBLISH)
        return read_publish_words(r);
    if (r->words_count > command->words_max) {
        buf_printf(r->why, "there are too many arguments: sse-publish %s %s", command->name,
                   command->synopses[0] != NULL ? command->synopses[0] : "takes none");
        return RELAY_EINVAL;
    }
    memcpy(list + *count, r->words, r->words_count * sizeof(*list));
    *count += r->words_count;
    if (is_topics && *count == 0 && command->topic != NULL)
        list[(*count)++] = command->topic;
    if (*count < command->words_min)
        return refuse_missing(r, is_topics ? "topic" : "file");
    return RELAY_OK;
}

static int check_topics(struct reader *r) {
    if (r->command->words == WORDS_PATTERN)
        return RELAY_OK;
    if (r->o.topics_count > TOPICS_MAX)
        return refuse(r, "there are more than 256 topics");
    for (size_t i = 0; i < r->o.topics_count; i++) {
        const char *topic = r->o.topics[i];
        const char *wrong = topic_check(topic, strlen(topic));
        for (size_t k = 0; k < i && wrong == NULL; k++)
            wrong = strcmp(r->o.topics[k], topic) == 0 ? "is given twice" : NULL;
        if (wrong != NULL)
            return refuse_named(r, "the topic", topic, wrong);
    }
    return RELAY_OK;
}

/* ---- what does not go together ---- */

static int check_kept(struct reader *r) {
    bool is_many = r->o.input != INPUT_WHOLE;
    if (r->o.is_live && (is_given(r, "history") || is_given(r, "ttl") || is_given(r, "key") ||
                         is_given(r, "wait-replicas")))
        return refuse(r, "--live events are not stored: --history, --ttl, --key and "
                         "--wait-replicas do not go with them");
    if (r->o.is_live)
        r->o.history = r->o.ttl_ms = 0;
    if (is_many && r->o.key != NULL && strlen(r->o.key) > PUBLISH_KEY_MAX_BYTES - LINE_DIGITS)
        return refuse_named(r, "--key", r->o.key,
                            "is longer than 236 bytes, which leave room for the number of a line");
    return RELAY_OK;
}

static bool reads_standard_input(const struct options *o) {
    bool is_named = false;
    for (size_t i = 0; i < o->files_count; i++)
        is_named = is_named || strcmp(o->files[i], "-") == 0;
    return is_named || o->files_count == 0;
}

/* Of publish: what is for many events, and there is one. */
static int check_many(struct reader *r) {
    static const char *const of_input[] = {"on-error", "resume-from"};
    static const char *const of_many[] = {"rate", "count"};
    bool is_many = r->o.input != INPUT_WHOLE;
    for (size_t i = 0; i < 2 && !is_many; i++) {
        if (!is_given(r, of_input[i]))
            continue;
        buf_printf(r->why, "--%s goes with --lines or --ndjson", of_input[i]);
        return RELAY_EINVAL;
    }
    for (size_t i = 0; i < 2 && !is_many && r->o.repeat == 1; i++) {
        if (!is_given(r, of_many[i]))
            continue;
        buf_printf(r->why, "--%s goes with --lines, --ndjson or --repeat", of_many[i]);
        return RELAY_EINVAL;
    }
    if (is_many && r->o.repeat > 1 && reads_standard_input(&r->o))
        return refuse(r, "--repeat needs files: lines of standard input can be read once only");
    return RELAY_OK;
}

/* Of token: one key, and something that it is to allow. */
static int check_token(struct reader *r) {
    const struct options *o = &r->o;
    if (o->secret_file != NULL && o->key_file != NULL)
        return refuse(r, "--secret-file and --key-file do not go together: a token is signed by "
                         "one key");
    if (o->is_show)
        return RELAY_OK;
    if (o->secret_file == NULL && o->key_file == NULL)
        return refuse(r, "there is no key: --secret-file FILE or --key-file FILE signs a token, "
                         "and --show looks at one");
    if (o->may_subscribe.count + o->may_publish.count == 0)
        return refuse(r, "the token would allow nothing: give it --subscribe PATTERN or --publish "
                         "PATTERN");
    return RELAY_OK;
}

/* Of kick: whom, once. */
static int check_kick(struct reader *r) {
    const struct options *o = &r->o;
    size_t count = o->topics_count;
    count += o->subject != NULL;
    count += o->token_id != NULL;
    if (o->is_list && (count > 0 || o->is_lift || o->bar_ms > 0))
        return refuse(r, "--list prints all who may not come back: nothing else goes with it");
    if (o->is_lift && o->bar_ms > 0)
        return refuse(r,
                      "--lift and --for do not go together: one ends a bar, the other begins it");
    if (count == 0 && !o->is_list)
        return refuse(r, "there is nobody to be kicked: --subject TEXT, --token JTI or --topic "
                         "TOPIC says whom");
    if (count > 1)
        return refuse(r, "--subject, --token and --topic do not go together, and each goes once: a "
                         "kick is of one of them");
    return RELAY_OK;
}

static int check_together(struct reader *r) {
    struct options *o = &r->o;
    int status = o->command == COMMAND_TOKEN  ? check_token(r)
                 : o->command == COMMAND_KICK ? check_kick(r)
                                              : check_kept(r);
    if (status == RELAY_OK && o->command == COMMAND_PUBLISH)
        status = check_many(r);
    const char *wrong = o->data != NULL ? data_check(o->data, strlen(o->data)) : NULL;
    if (status == RELAY_OK && wrong != NULL) {
        buf_printf(r->why, "DATA %s", wrong);
        return RELAY_EINVAL;
    }
    if (status == RELAY_OK && o->is_quiet && o->output == OUTPUT_JSON)
        return refuse(r, "--quiet prints nothing, so --output json does not go with it");
    if (status == RELAY_OK && is_given(r, "since") && is_given(r, "last"))
        return refuse(r, "--since and --last do not go together: each says where to begin");
    return status;
}

/* Those who read print JSON whichever way it was asked for. */
static void settle_json(struct options *o) {
    bool is_reader = o->command == COMMAND_TAIL || o->command == COMMAND_HISTORY ||
                     o->command == COMMAND_TOPICS || o->command == COMMAND_SUBSCRIBERS ||
                     o->command == COMMAND_RM || o->command == COMMAND_KICK ||
                     o->command == COMMAND_DOCTOR;
    if (is_reader && (o->is_json || o->output == OUTPUT_JSON)) {
        o->is_json = true;
        o->output = OUTPUT_JSON;
    }
}

/* ---- all of it ---- */

static int read_all(struct reader *r, int argc, char **argv, options_env env) {
    int status = collect(r, argc, argv);
    if (status != RELAY_OK)
        return status;
    read_command(r);
    if (is_question(r, &status))
        return status;
    status = check_lone_word(r);
    if (status == RELAY_OK)
        status = read_options(r, env);
    if (status == RELAY_OK)
        status = read_words(r);
    if (status == RELAY_OK)
        status = check_topics(r);
    if (status == RELAY_OK)
        status = check_together(r);
    settle_json(&r->o);
    return status;
}

int options_read(struct options *out, int argc, char **argv, options_env env, struct buf *why) {
    size_t room = (size_t)argc + 1; /* a default topic, too */
    const char **words = mem_zalloc(room * sizeof(*words));
    struct reader r = {.words = words, .why = why};
    r.given = mem_zalloc(room * sizeof(*r.given));
    r.o.topics = mem_zalloc(room * sizeof(*r.o.topics));
    r.o.files = mem_zalloc(room * sizeof(*r.o.files));
    r.o.headers.all = mem_zalloc(room * sizeof(*r.o.headers.all));
    r.o.cookies.all = mem_zalloc(room * sizeof(*r.o.cookies.all));
    r.o.may_subscribe.all = mem_zalloc(room * sizeof(*r.o.may_subscribe.all));
    r.o.may_publish.all = mem_zalloc(room * sizeof(*r.o.may_publish.all));
    int status = read_all(&r, argc, argv, env);
    if (status == RELAY_OK)
        *out = r.o;
    else
        options_fini(&r.o);
    free(r.given);
    free(words);
    return status;
}

void options_fini(struct options *o) {
    free(o->topics);
    free(o->files);
    free(o->headers.all);
    free(o->cookies.all);
    free(o->may_subscribe.all);
    free(o->may_publish.all);
    redis_url_fini(&o->redis);
}
