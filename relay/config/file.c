/* The configuration file: JSON, an object with one member an option; see table.h. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/config/option_table.h"

enum { FILE_LIMIT_BYTES = 1 << 20, FILE_STEP_BYTES = 1 << 14 };

static int read_bytes(const char *path, struct buf *out, struct buf *why) {
    FILE *file = fopen(path, "r");
    size_t got = file != NULL;
    while (got > 0 && out->len <= FILE_LIMIT_BYTES) {
        got = fread(buf_reserve(out, FILE_STEP_BYTES), 1, FILE_STEP_BYTES, file);
        out->len += got;
    }
    if (file == NULL || ferror(file))
        buf_printf(why, " cannot be read: %s", strerror(errno));
    else if (out->len > FILE_LIMIT_BYTES)
        buf_puts(why, " is larger than 1MiB");
    if (file != NULL)
        fclose(file);
    return why->len > 0 ? RELAY_EINVAL : RELAY_OK;
}

/* What jansson says, without the text that it quotes from the file: that may be a password. */
static void put_json_error(const json_error_t *error, struct buf *why) {
    const char *quoted = strstr(error->text, " near ");
    size_t len = quoted != NULL ? (size_t)(quoted - error->text) : strlen(error->text);
    buf_printf(why, " is not valid JSON at line %d, column %d: %.*s", error->line, error->column,
               (int)len, error->text);
}

static bool is_scalar(const json_t *value) {
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static bool set_scalar(const char *key, const json_t *value, bool element, config_set_fn set,
                       void *arg) {
    if (json_is_string(value))
        return set(arg, key, json_string_value(value), element);
    if (json_is_boolean(value))
        return set(arg, key, json_is_true(value) ? "true" : "false", element);
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    bool go_on = text != NULL && set(arg, key, text, element);
    free(text);
    return go_on;
}

static bool set_array(const char *key, const json_t *array, config_set_fn set, void *arg,
                      struct buf *why) {
    if (json_array_size(array) == 0)
        return set(arg, key, NULL, true);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *element = json_array_get(array, i);
        if (!is_scalar(element)) {
            buf_printf(why, " has an element of \"%s\" that is neither text nor number", key);
            return false;
        }
        if (!set_scalar(key, element, true, set, arg))
            return false;
    }
    return true;
}

static bool set_members(json_t *root, config_set_fn set, void *arg, struct buf *why) {
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        bool go_on = false;
        if (json_is_array(value))
            go_on = set_array(key, value, set, arg, why);
        else if (is_scalar(value))
            go_on = set_scalar(key, value, false, set, arg);
        else
            buf_printf(why, " has %s as \"%s\": text, a number, true, false or an array is needed",
                       json_is_null(value) ? "null" : "an object", key);
        if (!go_on)
            return false;
    }
    return true;
}

int config_read_file(const char *path, config_set_fn set, void *arg, struct buf *why) {
    struct buf bytes = BUF_INIT;
    json_t *root = NULL;
    json_error_t error;
    int rc = read_bytes(path, &bytes, why);
    if (rc == RELAY_OK) {
        root = json_loadb(bytes.data, bytes.len, JSON_REJECT_DUPLICATES, &error);
        if (root == NULL)
            put_json_error(&error, why);
        else if (!json_is_object(root))
            buf_puts(why, " holds no JSON object");
        rc = why->len == 0 && set_members(root, set, arg, why) ? RELAY_OK : RELAY_EINVAL;
    }
    json_decref(root);
    buf_fini(&bytes);
    return rc;
}
