/* Values of options: from text into struct config, and back; see table.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "relay/base/quantity.h"
#include "relay/config/option_table.h"

static_assert(sizeof(enum log_level) == sizeof(unsigned), "put_number() writes enums as unsigned");
static_assert(sizeof(enum log_format) == sizeof(unsigned), "put_number() writes enums as unsigned");

static const struct unit *units_of(const struct option *o) {
    return o->kind == OPTION_DURATION ? quantity_time
           : o->kind == OPTION_SIZE   ? quantity_bytes
                                      : quantity_plain;
}

static bool is_number(const struct option *o) {
    return o->kind == OPTION_INTEGER || o->kind == OPTION_DURATION || o->kind == OPTION_SIZE;
}

bool option_is_list(const struct option *o) {
    return o->kind == OPTION_STRINGS || o->kind == OPTION_ADDRESSES;
}

static void *field_of(const struct option *o, struct config *c) {
    return (char *)c + o->offset;
}

static const void *const_field_of(const struct option *o, const struct config *c) {
    return (const char *)c + o->offset;
}

static void put_number(const struct option *o, uint64_t value, struct config *c) {
    void *field = field_of(o, c);
    if (o->kind == OPTION_DURATION)
        *(uint64_t *)field = value;
    else if (o->kind == OPTION_SIZE)
        *(size_t *)field = (size_t)value;
    else
        memcpy(field, &(unsigned){(unsigned)value}, sizeof(unsigned));
}

static uint64_t get_number(const struct option *o, const struct config *c) {
    const void *field = const_field_of(o, c);
    if (o->kind == OPTION_DURATION)
        return *(const uint64_t *)field;
    if (o->kind == OPTION_SIZE)
        return *(const size_t *)field;
    unsigned value;
    memcpy(&value, field, sizeof(value));
    return value;
}

static const char *read_number(const struct option *o, const char *text, struct config *c) {
    uint64_t value = 0;
    const char *wrong = quantity_parse(text, units_of(o), &value);
    if (wrong != NULL)
        return wrong;
    bool is_special = value == 0 && o->zero_means != NULL;
    if (!is_special && (value < o->min || value > o->max))
        return "is out of range";
    put_number(o, value, c);
    return NULL;
}

static const char *read_bool(const struct option *o, const char *text, struct config *c) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i], text) == 0) {
            *(bool *)field_of(o, c) = i % 2 == 1;
            return NULL;
        }
    return "is neither true nor false";
}

int option_choice(const struct option *o, const char *text) {
    for (int i = 0; o->choices[i] != NULL; i++)
        if (strcmp(o->choices[i], text) == 0)
            return i;
    return -1;
}

static const char *read_enum(const struct option *o, const char *text, struct config *c) {
    int choice = option_choice(o, text);
    if (choice < 0)
        return "is not among the choices";
    put_number(o, (uint64_t)choice, c);
    return NULL;
}

static const char *read_text(const struct option *o, const char *text, struct config *c) {
    char *value = mem_strndup(text, strlen(text));
    const char *wrong = o->check(value);
    if (wrong != NULL) {
        free(value);
        return wrong;
    }
    if (o->kind == OPTION_STRINGS) {
        struct config_strings *list = field_of(o, c);
        list->items = mem_realloc(list->items, (list->len + 1) * sizeof(*list->items));
        list->items[list->len++] = value;
    } else {
        option_clear(o, c);
        *(char **)field_of(o, c) = value;
    }
    return NULL;
}

static const char *read_address(const struct option *o, const char *text, struct config *c) {
    struct listen_address address;
    const char *wrong;
    if (listen_address_parse(text, &address, &wrong) != 0)
        return wrong;
    if (o->kind == OPTION_ADDRESSES) {
        struct config_addresses *list = field_of(o, c);
        list->items = mem_realloc(list->items, (list->len + 1) * sizeof(*list->items));
        list->items[list->len++] = address;
    } else {
        option_clear(o, c);
        *(struct listen_address *)field_of(o, c) = address;
    }
    return NULL;
}

const char *option_read(const struct option *o, const char *text, struct config *c) {
    switch (o->kind) {
    case OPTION_BOOL:
        return read_bool(o, text, c);
    case OPTION_INTEGER:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return read_number(o, text, c);
    case OPTION_ENUM:
        return read_enum(o, text, c);
    case OPTION_STRING:
    case OPTION_STRINGS:
        return read_text(o, text, c);
    case OPTION_ADDRESS:
    case OPTION_ADDRESSES:
        return read_address(o, text, c);
    case OPTION_ACTION:
        break;
    }
    return "takes no value";
}

static void clear_strings(struct config_strings *list) {
    for (size_t i = 0; i < list->len; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_strings){0};
}

static void clear_addresses(struct config_addresses *list) {
    for (size_t i = 0; i < list->len; i++)
        listen_address_fini(&list->items[i]);
    free(list->items);
    *list = (struct config_addresses){0};
}

void option_clear(const struct option *o, struct config *c) {
    switch (o->kind) {
    case OPTION_BOOL:
        *(bool *)field_of(o, c) = false;
        return;
    case OPTION_INTEGER:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_ENUM:
        put_number(o, 0, c);
        return;
    case OPTION_STRING:
        free(*(char **)field_of(o, c));
        *(char **)field_of(o, c) = NULL;
        return;
    case OPTION_STRINGS:
        clear_strings(field_of(o, c));
        return;
    case OPTION_ADDRESS:
        listen_address_fini(field_of(o, c));
        return;
    case OPTION_ADDRESSES:
        clear_addresses(field_of(o, c));
        return;
    case OPTION_ACTION:
        return;
    }
}

static bool is_same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool are_same_strings(const struct config_strings *a, const struct config_strings *b) {
    bool same = a->len == b->len;
    for (size_t i = 0; same && i < a->len; i++)
        same = is_same_text(a->items[i], b->items[i]);
    return same;
}

static bool are_same_addresses(const struct config_addresses *a, const struct config_addresses *b) {
    bool same = a->len == b->len;
    for (size_t i = 0; same && i < a->len; i++)
        same = is_same_text(a->items[i].text, b->items[i].text);
    return same;
}

bool option_equal(const struct option *o, const struct config *a, const struct config *b) {
    const void *x = const_field_of(o, a), *y = const_field_of(o, b);
    switch (o->kind) {
    case OPTION_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case OPTION_INTEGER:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_ENUM:
        return get_number(o, a) == get_number(o, b);
    case OPTION_STRING:
        return is_same_text(*(char *const *)x, *(char *const *)y);
    case OPTION_STRINGS:
        return are_same_strings(x, y);
    case OPTION_ADDRESS:
        return is_same_text(((const struct listen_address *)x)->text,
                            ((const struct listen_address *)y)->text);
    case OPTION_ADDRESSES:
        return are_same_addresses(x, y);
    case OPTION_ACTION:
        break;
    }
    return true;
}

/* @value in the largest unit that divides it. */
static void put_quantity(const struct option *o, uint64_t value, struct buf *out) {
    const struct unit *units = units_of(o);
    const struct unit *best = NULL;
    for (const struct unit *u = units; value != 0 && u->name != NULL; u++)
        if (value % u->factor == 0)
            best = u;
    buf_printf(out, "%llu", (unsigned long long)(best != NULL ? value / best->factor : value));
    buf_puts(out, best != NULL ? best->name : "");
}

void option_put_allowed(const struct option *o, struct buf *out) {
    if (is_number(o)) {
        if (o->zero_means != NULL)
            buf_printf(out, "0 (%s), or ", o->zero_means);
        put_quantity(o, o->min, out);
        buf_puts(out, " to ");
        put_quantity(o, o->max, out);
    } else if (o->kind == OPTION_BOOL) {
        buf_puts(out, "true or false");
    } else if (o->choices != NULL) {
        for (size_t i = 0; o->choices[i] != NULL; i++)
            buf_printf(out, "%s%s",
                       i == 0                      ? ""
                       : o->choices[i + 1] == NULL ? " or "
                                                   : ", ",
                       o->choices[i]);
    } else {
        buf_puts(out, o->kind == OPTION_ACTION ? "the name alone" : o->form);
    }
}

/* What stands before @end may hold a password: keep the scheme, and "***" for the rest. */
static const char *put_hidden(const char *text, const char *end, struct buf *out) {
    const char *scheme = strstr(text, "://");
    if (scheme != NULL && scheme < end)
        buf_append(out, text, (size_t)(scheme + 3 - text));
    buf_puts(out, "***");
    return end;
}

void option_put_redacted(const char *text, bool secret, struct buf *out) {
    const char *at = strrchr(text, '@');
    const char *userinfo = strstr(text, "://:"); /* a password whose host was forgotten */
    if (at != NULL)
        text = put_hidden(text, at, out);
    else if (secret && userinfo != NULL)
        text = put_hidden(text, text + strlen(text), out);
    static const char key[] = "password=";
    const char *found;
    while ((found = strstr(text, key)) != NULL) {
        const char *value = found + strlen(key);
        buf_append(out, text, (size_t)(value - text));
        buf_puts(out, "***");
        text = value + strcspn(value, "&");
    }
    buf_puts(out, text);
}

static void put_json_text(const struct option *o, const char *text, struct buf *out) {
    struct buf shown = BUF_INIT;
    option_put_redacted(text, o->secret, &shown);
    buf_put_json(out, shown.data, shown.len);
    buf_fini(&shown);
}

static void put_json_number(const struct option *o, uint64_t value, struct buf *out) {
    const char *quote = o->kind == OPTION_INTEGER || value == 0 ? "" : "\"";
    buf_puts(out, quote);
    put_quantity(o, value, out);
    buf_puts(out, quote);
}

static void put_json_strings(const struct option *o, const struct config_strings *list,
                             struct buf *out) {
    buf_putc(out, '[');
    for (size_t i = 0; i < list->len; i++) {
        buf_puts(out, i == 0 ? "" : ", ");
        put_json_text(o, list->items[i], out);
    }
    buf_putc(out, ']');
}

static void put_json_addresses(const struct option *o, const struct config_addresses *list,
                               struct buf *out) {
    buf_putc(out, '[');
    for (size_t i = 0; i < list->len; i++) {
        buf_puts(out, i == 0 ? "" : ", ");
        put_json_text(o, list->items[i].text, out);
    }
    buf_putc(out, ']');
}

bool option_put_json(const struct option *o, const struct config *c, struct buf *out) {
    const void *field = const_field_of(o, c);
    const char *text = o->kind == OPTION_STRING    ? *(char *const *)field
                       : o->kind == OPTION_ADDRESS ? ((const struct listen_address *)field)->text
                       : o->kind == OPTION_ENUM    ? o->choices[get_number(o, c)]
                                                   : NULL;
    if (o->kind == OPTION_BOOL)
        buf_puts(out, *(const bool *)field ? "true" : "false");
    else if (is_number(o))
        put_json_number(o, get_number(o, c), out);
    else if (o->kind == OPTION_STRINGS)
        put_json_strings(o, field, out);
    else if (o->kind == OPTION_ADDRESSES)
        put_json_addresses(o, field, out);
    else if (text != NULL)
        put_json_text(o, text, out);
    else
        return false;
    return true;
}
