/* Completions for three shells; see completion.h. Each of the scripts looks for the command first,
 * which means passing over options and their values. */
#include "relay/options/completion.h"

#include <string.h>

typedef bool (*option_filter)(const struct completion_option *o);

static bool takes_value(const struct completion_option *o) {
    return o->value != NULL;
}

static bool takes_free_value(const struct completion_option *o) {
    return o->value != NULL && o->choices == NULL && !o->is_file;
}

static bool takes_file(const struct completion_option *o) {
    return o->is_file;
}

static bool brings_files(const struct completion_option *o) {
    return o->brings_files;
}

/* Both names of every option that @filter lets pass (NULL: all) and the command of @bit takes, with
 * @separator between. */
static void put_names(struct buf *out, const struct completion_program *p, option_filter filter,
                      unsigned bit, const char *separator) {
    const char *before = "";
    for (size_t i = 0; i < p->options_count; i++) {
        const struct completion_option *o = &p->options[i];
        if ((filter != NULL && !filter(o)) || (o->commands & bit) == 0)
            continue;
        if (o->letter != 0)
            buf_printf(out, "%s-%c%s", before, o->letter, separator);
        buf_printf(out, "%s--%s", o->letter != 0 ? "" : before, o->name);
        before = separator;
    }
}

static bool has_any(const struct completion_program *p, option_filter filter) {
    for (size_t i = 0; i < p->options_count; i++)
        if (filter(&p->options[i]))
            return true;
    return false;
}

enum { ANY_COMMAND = -1 }; /* all bits, as an unsigned */

static void put_choices(struct buf *out, const struct completion_option *o) {
    for (size_t i = 0; o->choices[i] != NULL; i++)
        buf_printf(out, "%s%s", i > 0 ? " " : "", o->choices[i]);
}

static void put_commands(struct buf *out, const struct completion_program *p,
                         const char *separator) {
    for (size_t i = 0; i < p->commands_count; i++)
        buf_printf(out, "%s%s", i > 0 ? separator : "", p->commands[i].name);
}

/* Those whose words are @words. False, and nothing, where there is none. */
static bool put_commands_with(struct buf *out, const struct completion_program *p,
                              enum completion_words words, const char *separator) {
    size_t count = 0;
    for (size_t i = 0; i < p->commands_count; i++)
        if (p->commands[i].words == words)
            buf_printf(out, "%s%s", count++ > 0 ? separator : "", p->commands[i].name);
    return count > 0;
}

/* The program's name as part of the name of a function. */
static void put_identifier(struct buf *out, const char *name) {
    for (; *name != '\0'; name++)
        buf_putc(out, *name == '-' ? '_' : *name);
}

/* Within single quotes; what is in @escaped gets a backslash of its own. */
static void put_quoted(struct buf *out, const char *text, const char *escaped, const char *quote) {
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_puts(out, quote);
        else
            buf_printf(out, "%s%c", strchr(escaped, *text) != NULL ? "\\" : "", *text);
    }
}

static void put_head(struct buf *out, const struct completion_program *p, const char *shell) {
    buf_printf(out, "# Completion of %s for %s, written by `%s %s`.\n", p->name, shell, p->how,
               shell);
}

/* ---- bash ---- */

/* bash makes three words of --name=value. */
static void put_bash_scan(struct buf *out, const struct completion_program *p) {
    buf_puts(out, "    if [[ $cur == = ]]; then\n"
                  "        cur=\n"
                  "    elif [[ $prev == = ]]; then\n"
                  "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
                  "    fi\n"
                  "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                  "        case ${COMP_WORDS[i]} in\n");
    if (has_any(p, brings_files)) {
        buf_puts(out, "        ");
        put_names(out, p, brings_files, (unsigned)ANY_COMMAND, " | ");
        buf_puts(out, ") files=1 ;;\n");
    }
    buf_puts(out, "        ");
    put_names(out, p, takes_value, (unsigned)ANY_COMMAND, " | ");
    buf_puts(out, ")\n"
                  "            ((i++))\n"
                  "            [[ ${COMP_WORDS[i]} == = ]] && ((i++)) ;;\n"
                  "        -*) ;;\n"
                  "        *) command=${command:-${COMP_WORDS[i]}} ;;\n"
                  "        esac\n"
                  "    done\n");
}

/* Names may hold blanks. */
static void put_bash_files(struct buf *out, const char *indent) {
    buf_printf(out,
               "%scompopt -o filenames 2>/dev/null\n"
               "%swhile IFS= read -r word; do\n"
               "%s    COMPREPLY+=(\"$word\")\n"
               "%sdone < <(compgen -f -- \"$cur\")\n",
               indent, indent, indent, indent);
}

/* What stands behind an option that takes a value. */
static void put_bash_values(struct buf *out, const struct completion_program *p) {
    buf_puts(out, "    case $prev in\n");
    for (size_t i = 0; i < p->options_count; i++) {
        if (p->options[i].choices == NULL)
            continue;
        buf_printf(out, "    --%s)\n        COMPREPLY=($(compgen -W '", p->options[i].name);
        put_choices(out, &p->options[i]);
        buf_puts(out, "' -- \"$cur\"))\n        return ;;\n");
    }
    if (has_any(p, takes_file)) {
        buf_puts(out, "    ");
        put_names(out, p, takes_file, (unsigned)ANY_COMMAND, " | ");
        buf_puts(out, ")\n");
        put_bash_files(out, "        ");
        buf_puts(out, "        return ;;\n");
    }
    buf_puts(out, "    ");
    put_names(out, p, takes_free_value, (unsigned)ANY_COMMAND, " | ");
    buf_puts(out, ") return ;;\n    esac\n");
}

static void put_bash_options(struct buf *out, const struct completion_program *p) {
    buf_puts(out, "    case $command in\n");
    for (size_t i = 1; i < p->commands_count; i++) {
        buf_printf(out, "    %s) options='", p->commands[i].name);
        put_names(out, p, NULL, 1U << i, " ");
        buf_puts(out, "' ;;\n");
    }
    buf_puts(out, "    *) options='");
    put_names(out, p, NULL, 1U, " ");
    buf_puts(out, "' ;;\n    esac\n");
}

static void put_bash_words(struct buf *out, const struct completion_program *p) {
    buf_puts(out, "    if [[ $cur == -* ]]; then\n"
                  "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n");
    if (p->commands_count > 0) {
        buf_puts(out, "    elif [[ -z $command$files ]]; then\n"
                      "        COMPREPLY=($(compgen -W '");
        put_commands(out, p, " ");
        buf_puts(out, "' -- \"$cur\"))\n"
                      "    elif [[ -n $files ]]; then\n");
        put_bash_files(out, "        ");
    }
    buf_puts(out, "    fi\n");
}

/* What the words of a command are, once it is known. */
static void put_bash_words_of(struct buf *out, const struct completion_program *p) {
    struct buf names = BUF_INIT;
    buf_puts(out, "    case $command in\n");
    if (put_commands_with(&names, p, COMPLETION_FILES, " | "))
        buf_printf(out, "    %s) files=1 ;;\n", names.data);
    buf_reset(&names);
    if (put_commands_with(&names, p, COMPLETION_COMMANDS, " | ")) {
        buf_printf(out,
                   "    %s)\n"
                   "        if [[ $cur != -* ]]; then\n"
                   "            COMPREPLY=($(compgen -W '",
                   names.data);
        put_commands(out, p, " ");
        buf_puts(out, "' -- \"$cur\"))\n"
                      "            return\n"
                      "        fi ;;\n");
    }
    buf_puts(out, "    esac\n");
    buf_fini(&names);
}

static void put_bash(struct buf *out, const struct completion_program *p) {
    put_head(out, p, "bash");
    buf_puts(out, "_");
    put_identifier(out, p->name);
    buf_puts(out, "() {\n"
                  "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                  "    local command= files= options= i word\n"
                  "    COMPREPLY=()\n");
    put_bash_scan(out, p);
    put_bash_values(out, p);
    put_bash_options(out, p);
    if (p->commands_count > 0)
        put_bash_words_of(out, p);
    put_bash_words(out, p);
    buf_puts(out, "}\ncomplete -F _");
    put_identifier(out, p->name);
    buf_printf(out, " %s\n", p->name);
}

/* ---- zsh ---- */

static void put_zsh_spec(struct buf *out, const struct completion_option *o, bool is_short) {
    if (is_short)
        buf_printf(out, "'*-%c%s[", o->letter, o->value != NULL ? "+" : "");
    else
        buf_printf(out, "'*--%s%s[", o->name, o->value != NULL ? "=" : "");
    put_quoted(out, o->help, "[]\\", "'\\''");
    buf_putc(out, ']');
    if (o->value != NULL) {
        buf_puts(out, ":");
        put_quoted(out, o->value, ":[]\\", "'\\''");
        buf_putc(out, ':');
    }
    if (o->choices != NULL) {
        buf_putc(out, '(');
        put_choices(out, o);
        buf_putc(out, ')');
    } else if (o->value != NULL) {
        buf_puts(out, o->is_file ? "_files" : " ");
    }
    buf_puts(out, "'\n");
}

static void put_zsh_options(struct buf *out, const struct completion_program *p, unsigned bit) {
    buf_puts(out, "    options=(\n");
    for (size_t i = 0; i < p->options_count; i++) {
        const struct completion_option *o = &p->options[i];
        if ((o->commands & bit) == 0)
            continue;
        for (int is_short = o->letter != 0; is_short >= 0; is_short--) {
            buf_puts(out, "      ");
            put_zsh_spec(out, o, is_short != 0);
        }
    }
    buf_puts(out, "    )");
}

/* The command, and whether words are names of files. */
static void put_zsh_scan(struct buf *out, const struct completion_program *p) {
    buf_puts(out, "  for ((i = 2; i < CURRENT; i++)); do\n    case $words[i] in\n");
    if (has_any(p, brings_files)) {
        buf_puts(out, "    (");
        put_names(out, p, brings_files, (unsigned)ANY_COMMAND, "|");
        buf_puts(out, ") files=1 ;;\n");
    }
    buf_puts(out, "    (");
    put_names(out, p, takes_value, (unsigned)ANY_COMMAND, "|");
    buf_puts(out, ") (( i++ )) ;;\n"
                  "    (-*) ;;\n"
                  "    (*) command=${command:-$words[i]} ;;\n"
                  "    esac\n"
                  "  done\n");
}

static void put_zsh_words(struct buf *out, const struct completion_program *p) {
    struct buf names = BUF_INIT;
    buf_puts(out, "  case $command in\n");
    if (put_commands_with(&names, p, COMPLETION_FILES, "|"))
        buf_printf(out, "  (%s) files=1 ;;\n", names.data);
    buf_reset(&names);
    if (put_commands_with(&names, p, COMPLETION_COMMANDS, "|"))
        buf_printf(out, "  (%s) rest='*:command:{_describe -t commands command commands}' ;;\n",
                   names.data);
    buf_puts(out, "  esac\n"
                  "  [[ -n $files ]] && first= rest='*:file:_files'\n"
                  "  _arguments -s -S : $options $first $rest\n");
    buf_fini(&names);
}

static void put_zsh_commands(struct buf *out, const struct completion_program *p) {
    buf_puts(out, "  local first='1:command:{_describe -t commands command commands}'\n"
                  "  local command= files= rest='*: : '\n"
                  "  local -a commands options\n"
                  "  local -i i\n"
                  "  commands=(\n");
    for (size_t i = 0; i < p->commands_count; i++) {
        buf_printf(out, "    '%s:", p->commands[i].name);
        put_quoted(out, p->commands[i].help, "\\", "'\\''");
        buf_puts(out, "'\n");
    }
    buf_puts(out, "  )\n");
    put_zsh_scan(out, p);
    buf_puts(out, "  case $command in\n");
    for (size_t i = 1; i < p->commands_count; i++) {
        buf_printf(out, "  (%s)\n", p->commands[i].name);
        put_zsh_options(out, p, 1U << i);
        buf_puts(out, " ;;\n");
    }
    buf_puts(out, "  (*)\n");
    put_zsh_options(out, p, 1U);
    buf_puts(out, " ;;\n  esac\n");
    put_zsh_words(out, p);
}

static void put_zsh(struct buf *out, const struct completion_program *p) {
    buf_printf(out, "#compdef %s\n", p->name);
    put_head(out, p, "zsh");
    buf_puts(out, "_");
    put_identifier(out, p->name);
    buf_puts(out, "() {\n");
    if (p->commands_count > 0) {
        put_zsh_commands(out, p);
    } else {
        buf_puts(out, "  local -a options\n");
        put_zsh_options(out, p, 1U);
        buf_puts(out, "\n  _arguments -s -S : $options\n");
    }
    buf_printf(out, "}\nif [[ $funcstack[1] == _%s ]]; then\n  _", p->name);
    put_identifier(out, p->name);
    buf_puts(out, " \"$@\"\nelse\n  compdef _");
    put_identifier(out, p->name);
    buf_printf(out, " %s\nfi\n", p->name);
}

/* ---- fish ---- */

static void put_fish_functions(struct buf *out, const struct completion_program *p,
                               const char *prefix) {
    buf_printf(out,
               "function %s_command\n"
               "    set -l is_value 0\n"
               "    for word in (commandline -opc)[2..-1]\n"
               "        if test $is_value = 1\n"
               "            set is_value 0\n"
               "            continue\n"
               "        end\n"
               "        switch $word\n"
               "            case ",
               prefix);
    put_names(out, p, takes_value, (unsigned)ANY_COMMAND, " ");
    buf_printf(out, "\n"
                    "                set is_value 1\n"
                    "            case '-*'\n"
                    "            case '*'\n"
                    "                contains -- $word ");
    put_commands(out, p, " ");
    buf_printf(out,
               "\n"
               "                and echo $word\n"
               "                or echo %s\n"
               "                return\n"
               "        end\n"
               "    end\n"
               "end\n"
               "function %s_is_first\n"
               "    test -z (%s_command)\n"
               "end\n"
               "function %s_is\n"
               "    set -l command (%s_command)\n"
               "    test -n \"$command\"\n"
               "    or set command %s\n"
               "    contains -- $command $argv\n"
               "end\n",
               p->commands[0].name, prefix, prefix, prefix, prefix, p->commands[0].name);
}

static void put_fish_condition(struct buf *out, const struct completion_program *p,
                               const char *prefix, unsigned commands) {
    if (p->commands_count == 0)
        return;
    buf_printf(out, " -n '%s_is", prefix);
    for (size_t i = 0; i < p->commands_count; i++)
        if ((commands & 1U << i) != 0)
            buf_printf(out, " %s", p->commands[i].name);
    buf_putc(out, '\'');
}

static void put_fish_option(struct buf *out, const struct completion_program *p, const char *prefix,
                            const struct completion_option *o) {
    buf_printf(out, "complete -c %s", p->name);
    put_fish_condition(out, p, prefix, o->commands);
    if (o->letter != 0)
        buf_printf(out, " -s %c", o->letter);
    buf_printf(out, " -l %s", o->name);
    if (o->value != NULL)
        buf_puts(out, o->is_file ? " -r -F" : " -x");
    if (o->choices != NULL) {
        buf_puts(out, " -a '");
        put_choices(out, o);
        buf_putc(out, '\'');
    }
    buf_puts(out, " -d '");
    put_quoted(out, o->help, "\\", "\\'");
    buf_puts(out, "'\n");
}

static void put_fish_commands(struct buf *out, const struct completion_program *p,
                              const char *prefix) {
    struct buf names = BUF_INIT;
    for (size_t i = 0; i < p->commands_count; i++) {
        buf_printf(out, "complete -c %s -n %s_is_first -a %s -d '", p->name, prefix,
                   p->commands[i].name);
        put_quoted(out, p->commands[i].help, "\\", "\\'");
        buf_puts(out, "'\n");
    }
    if (put_commands_with(&names, p, COMPLETION_COMMANDS, " ")) {
        buf_printf(out, "complete -c %s -n '%s_is %s' -a '", p->name, prefix, names.data);
        put_commands(out, p, " ");
        buf_puts(out, "'\n");
    }
    buf_reset(&names);
    if (put_commands_with(&names, p, COMPLETION_FILES, " "))
        buf_printf(out, "complete -c %s -n '%s_is %s' -F\n", p->name, prefix, names.data);
    for (size_t i = 0; i < p->options_count; i++)
        if (p->options[i].brings_files)
            buf_printf(out, "complete -c %s -n '__fish_contains_opt %s' -F\n", p->name,
                       p->options[i].name);
    buf_fini(&names);
}

static void put_fish(struct buf *out, const struct completion_program *p) {
    struct buf prefix = BUF_INIT;
    buf_puts(&prefix, "__");
    put_identifier(&prefix, p->name);
    put_head(out, p, "fish");
    if (p->commands_count > 0)
        put_fish_functions(out, p, prefix.data);
    buf_printf(out, "complete -c %s -f\n", p->name);
    if (p->commands_count > 0)
        put_fish_commands(out, p, prefix.data);
    for (size_t i = 0; i < p->options_count; i++)
        put_fish_option(out, p, prefix.data, &p->options[i]);
    buf_fini(&prefix);
}

void completion_put(struct buf *out, enum completion_shell shell,
                    const struct completion_program *p) {
    static void (*const puts[])(struct buf * out, const struct completion_program *p) = {
        [COMPLETION_BASH] = put_bash, [COMPLETION_ZSH] = put_zsh, [COMPLETION_FISH] = put_fish};
    puts[shell](out, p);
}

bool completion_put_generated(struct buf *out, enum generated what,
                              const struct completion_program *p) {
    switch (what) {
    case GENERATE_BASH:
        completion_put(out, COMPLETION_BASH, p);
        return true;
    case GENERATE_ZSH:
        completion_put(out, COMPLETION_ZSH, p);
        return true;
    case GENERATE_FISH:
        completion_put(out, COMPLETION_FISH, p);
        return true;
    case GENERATE_MAN:
    case GENERATE_MARKDOWN:
        break;
    }
    return false;
}
