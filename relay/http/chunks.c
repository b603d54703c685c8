/* The chunked coding; see chunks.h. */
#include "relay/http/chunks.h"

#include "relay/base/hex.h"
#include "relay/http/request.h"

enum chunks_step {
    STEP_SIZE_FIRST, /* the first digit of a size */
    STEP_SIZE,
    STEP_EXTENSION,
    STEP_SIZE_LF,
    STEP_DATA,
    STEP_DATA_CR, /* behind the data */
    STEP_DATA_LF,
    STEP_TRAILER_FIRST, /* the first byte of a trailer, or the CR of the empty line */
    STEP_TRAILER,
    STEP_TRAILER_LF,
    STEP_LAST_LF
};

enum { OVERHEAD_MAX_BYTES = REQUEST_BODY_MAX_BYTES + 64 * 1024 };

static const struct fault bad_chunk = {400, "The chunked coding of the body is not valid."};
static const struct fault too_large = {413, "The body is larger than 1 MiB."};
static const struct fault too_much_overhead = {
    413, "The chunked coding of the body takes more bytes than a body may have."};

static const struct fault *size_byte(struct chunks *c, char byte, size_t room) {
    int digit = hex_digit(byte);
    if (digit >= 0) {
        /* No overflow: the size was within the room before this digit. */
        c->size = c->size * 16 + (size_t)digit;
        c->step = STEP_SIZE;
        return c->size > room ? &too_large : NULL;
    }
    if (c->step == STEP_SIZE_FIRST || (byte != ';' && byte != '\r'))
        return &bad_chunk;
    c->step = byte == ';' ? STEP_EXTENSION : STEP_SIZE_LF;
    return NULL;
}

/* A byte of text that runs up to a CR, behind which @then follows. */
static const struct fault *text_byte(struct chunks *c, char byte, int then) {
    unsigned char u = (unsigned char)byte;
    if (byte == '\r')
        c->step = then;
    else if ((u < 0x20 && byte != '\t') || u == 0x7f)
        return &bad_chunk;
    return NULL;
}

static const struct fault *expect(struct chunks *c, char byte, char expected, int then) {
    c->step = then;
    return byte == expected ? NULL : &bad_chunk;
}

/* A byte that is no data. */
static const struct fault *coding_byte(struct chunks *c, char byte, size_t room) {
    switch (c->step) {
    case STEP_SIZE_FIRST:
    case STEP_SIZE:
        return size_byte(c, byte, room);
    case STEP_EXTENSION:
        return text_byte(c, byte, STEP_SIZE_LF);
    case STEP_SIZE_LF:
        return expect(c, byte, '\n', c->size > 0 ? STEP_DATA : STEP_TRAILER_FIRST);
    case STEP_DATA_CR:
        return expect(c, byte, '\r', STEP_DATA_LF);
    case STEP_DATA_LF:
        return expect(c, byte, '\n', STEP_SIZE_FIRST);
    case STEP_TRAILER_FIRST:
        if (byte == ' ' || byte == '\t')
            return &bad_chunk;
        c->step = STEP_TRAILER;
        return text_byte(c, byte, STEP_LAST_LF);
    case STEP_TRAILER:
        return text_byte(c, byte, STEP_TRAILER_LF);
    case STEP_TRAILER_LF:
        return expect(c, byte, '\n', STEP_TRAILER_FIRST);
    default:
        c->complete = byte == '\n';
        return c->complete ? NULL : &bad_chunk;
    }
}

size_t chunks_feed(struct chunks *c, const char *data, size_t len, struct buf *out) {
    size_t taken = 0;
    while (taken < len && !c->complete && c->fault == NULL) {
        if (c->step == STEP_DATA) {
            size_t n = len - taken < c->size ? len - taken : c->size;
            buf_append(out, data + taken, n);
            taken += n;
            c->size -= n;
            if (c->size == 0)
                c->step = STEP_DATA_CR;
            continue;
        }
        c->fault = coding_byte(c, data[taken++], REQUEST_BODY_MAX_BYTES - out->len);
        if (++c->overhead_bytes > OVERHEAD_MAX_BYTES && c->fault == NULL)
            c->fault = &too_much_overhead;
    }
    return taken;
}
