/* Reading the value of an option; see option_row_read() in table.h. */
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/options/table.h"
#include "relay/base/err.h"
#include "relay/base/quantity.h"

static const char out_of_range[] = "is out of range";

/* The fields are of both sizes. */
static void store(void *field, size_t size, uint64_t value) {
    if (size == sizeof(uint32_t))
        *(uint32_t *)field = (uint32_t)value;
    else
        *(uint64_t *)field = value;
}

static const char *read_number(const struct option_row *option, const char *text, void *field) {
    uint64_t value;
    const struct unit *units = option->kind == OPTION_TIME ? quantity_time : quantity_plain;
    const char *wrong = quantity_parse(text, units, &value);
    if (wrong != NULL)
        return wrong;
    if (value < option->min || value > option->max)
        return out_of_range;
    store(field, option->size, value);
    return NULL;
}

/* Digits, and digits behind a point; *@rest is what follows. */
static const char *read_decimal(const char *text, double *value, const char **rest) {
    size_t whole = strspn(text, "0123456789");
    size_t len = whole;
    if (text[len] == '.')
        len += 1 + strspn(text + len + 1, "0123456789");
    if (whole == 0 || text[len - 1] == '.')
        return "is no number";
    *value = strtod(text, NULL);
    *rest = text + len;
    return NULL;
}

static const char *read_factor(const char *text, double *field) {
    double value;
    const char *rest;
    const char *wrong = read_decimal(text, &value, &rest);
    if (wrong != NULL || *rest != '\0')
        return "is no number";
    if (value < 1e-6 || value > 1e9)
        return out_of_range;
    *field = value;
    return NULL;
}

/* 100/s, 30/m, 5k/s; a second is meant where nothing is said. */
static const char *read_rate(const char *text, double *field) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 1}, {"/s", 1}, {"/m", 60}, {"/h", 3600}};
    double value;
    const char *rest;
    const char *wrong = read_decimal(text, &value, &rest);
    if (wrong != NULL)
        return wrong;
    if (*rest == 'k' || *rest == 'M')
        value *= *rest++ == 'k' ? 1e3 : 1e6;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(rest, units[i].name) != 0)
            continue;
        value /= units[i].seconds;
        if (value < 1e-6 || value > 1e9)
            return out_of_range;
        *field = value;
        return NULL;
    }
    return "does not end in /s, /m or /h";
}

static const char *read_choice(const struct option_row *option, const char *text, void *field) {
    for (size_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) != 0)
            continue;
        store(field, option->size, i);
        return NULL;
    }
    return "is not one of its values";
}

static const char *read_text(const struct option_row *option, const char *text, void *field) {
    const char *wrong = option->check != NULL ? option->check(text) : NULL;
    if (wrong == NULL)
        *(const char **)field = text;
    return wrong;
}

static const char *read_texts(const struct option_row *option, const char *text,
                              struct texts *field) {
    const char *wrong = option->check(text);
    if (wrong == NULL)
        field->all[field->count++] = text;
    return wrong;
}

static const char *read_redis(const char *text, struct redis_url *field) {
    struct redis_url url;
    const char *wrong;
    if (redis_url_parse(text, &url, &wrong) != RELAY_OK)
        return wrong;
    redis_url_fini(field);
    *field = url;
    return NULL;
}

const char *option_row_read(const struct option_row *option, const char *text, struct options *o) {
    void *field = (char *)o + option->offset;
    switch (option->kind) {
    case OPTION_RATE:
        return read_rate(text, field);
    case OPTION_FACTOR:
        return read_factor(text, field);
    case OPTION_CHOICE:
        return read_choice(option, text, field);
    case OPTION_REDIS:
        return read_redis(text, field);
    case OPTION_TEXTS:
        return read_texts(option, text, field);
    case OPTION_TEXT:
        return read_text(option, text, field);
    default:
        return read_number(option, text, field);
    }
}
