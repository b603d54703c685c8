/* malloc() of the simulation: fast, since there is one thread, and watchful.
 *
 * Blocks are of size classes; a block that is freed is filled with a pattern, waits in a line of
 * its class, and is looked at when it is given out again: whoever wrote into it meanwhile wrote
 * into freed memory. What the relay holds is a count, so that a world that was taken down leaves
 * nothing behind. With a sanitizer, which sees more, its own malloc() is left in place. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/simulation/world.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCHED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define WATCHED 0
#endif
#endif
#ifndef WATCHED
#define WATCHED 1
#endif

#if WATCHED

enum {
    STEP = 16, /* of small classes */
    SMALL = 1024,
    SMALL_CLASSES = SMALL / STEP + 1,
    CLASSES = SMALL_CLASSES + 32, /* then one for each power of two */
    LINE = 24,                    /* freed blocks of a class that wait before one is given out */
    CHUNK = 4 * 1024 * 1024,
    PATTERN = 0xdb
};

#define MAGIC_USED UINT32_C(0x5e11e75e)
#define MAGIC_FREE UINT32_C(0xdeadf4ee)

/* In front of each block; 16 bytes, so that blocks are aligned for anything. */
struct header {
    uint32_t magic;
    uint32_t class;
    union {
        size_t size;
        struct header *next;
    } u;
};

static struct {
    struct header *head, *tail;
    unsigned len;
} lines[CLASSES];

static char *chunk, *chunk_end;
static size_t blocks;
static bool damaged;

static uint32_t class_of(size_t size) {
    if (size <= SMALL)
        return (uint32_t)((size + STEP - 1) / STEP);
    uint32_t class = SMALL_CLASSES;
    for (size_t room = 2 * SMALL; room < size; room *= 2)
        class ++;
    return class;
}

static size_t room_of(uint32_t class) {
    return class < SMALL_CLASSES ? (size_t) class * STEP
                                 : (size_t)(2 * SMALL) << (class - SMALL_CLASSES);
}

static void *fresh(size_t size) {
    if ((size_t)(chunk_end - chunk) < size) {
        size_t len = size > CHUNK ? size : CHUNK;
        void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return NULL;
        chunk = p;
        chunk_end = chunk + len;
    }
    void *p = chunk;
    chunk += size;
    return p;
}

/* How much of a freed block is looked at. */
static size_t watched(uint32_t class) {
    size_t room = room_of(class);
    return room < SMALL ? room : SMALL;
}

static bool is_untouched(const struct header *h) {
    const unsigned char *p = (const unsigned char *)(h + 1);
    size_t len = watched(h->class);
    return h->magic == MAGIC_FREE &&
           (len == 0 || (p[0] == PATTERN && memcmp(p, p + 1, len - 1) == 0));
}

static struct header *take(uint32_t class) {
    struct header *h = lines[class].head;
    if (lines[class].len <= LINE) {
        h = fresh(sizeof(*h) + room_of(class));
        if (h != NULL)
            h->class = class;
        return h;
    }
    lines[class].head = h->u.next;
    lines[class].len--;
    damaged = damaged || !is_untouched(h);
    return h;
}

/* By another name, or the compiler would take malloc() and memset() for calloc(), and call itself.
 */
static void *allocate(size_t size) {
    struct header *h = take(class_of(size));
    if (h == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    h->magic = MAGIC_USED;
    h->u.size = size;
    blocks++;
    return h + 1;
}

void *malloc(size_t size) {
    return allocate(size);
}

void free(void *p) {
    if (p == NULL)
        return;
    struct header *h = (struct header *)p - 1;
    if (h->magic != MAGIC_USED) {
        fputs("memory was freed twice, or was none\n", stderr);
        abort();
    }
    memset(p, PATTERN, watched(h->class));
    h->magic = MAGIC_FREE;
    h->u.next = NULL;
    if (lines[h->class].len++ == 0)
        lines[h->class].head = h;
    else
        lines[h->class].tail->u.next = h;
    lines[h->class].tail = h;
    blocks--;
}

void *calloc(size_t count, size_t size) {
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    void *p = allocate(count * size);
    if (p != NULL)
        memset(p, 0, count * size);
    return p;
}

void *realloc(void *old, size_t size) {
    if (old == NULL)
        return allocate(size);
    struct header *h = (struct header *)old - 1;
    if (size <= room_of(h->class) && size > 0) {
        h->u.size = size;
        return old;
    }
    void *p = allocate(size);
    if (p == NULL)
        return NULL;
    memcpy(p, old, h->u.size < size ? h->u.size : size);
    free(old);
    return p;
}

size_t memory_blocks(void) {
    return blocks;
}

bool memory_is_intact(void) {
    for (uint32_t class = 0; class < CLASSES; class ++)
        for (const struct header *h = lines[class].head; h != NULL; h = h->u.next)
            damaged = damaged || !is_untouched(h);
    bool intact = !damaged;
    damaged = false;
    return intact;
}

#else

size_t memory_blocks(void) {
    return 0;
}

bool memory_is_intact(void) {
    return true;
}

#endif
