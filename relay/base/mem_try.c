/* Allocation that may fail; see mem.h. */
#include <stdlib.h>

#include "relay/base/mem.h"

void *mem_try(size_t size) {
    return malloc(size);
}
