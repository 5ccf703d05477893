#include "os/mappings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool hw_is_mapped(uintptr_t address, size_t size_bytes) {
    unsigned char resident[16];
    for (size_t step = sizeof resident * 4096, done = 0; done < size_bytes; done += step) {
        size_t part = size_bytes - done < step ? size_bytes - done : step;
        if (mincore((void *)(address + done), part, resident) != 0) return false; /* ENOMEM: a hole */
    }
    return true;
}

int hw_break_heap(uintptr_t *start, uintptr_t *end) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) return errno;
    char line[512];
    int error = ENOENT;
    while (error != 0 && fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, " [heap]") != NULL && sscanf(line, "%" SCNxPTR "-%" SCNxPTR, start, end) == 2) error = 0;
    fclose(maps);
    return error;
}
