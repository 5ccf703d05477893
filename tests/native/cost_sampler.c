/* What the sampler costs, in instructions per pair of allocated and freed:
 *
 *      cc -O2 -std=c11 -D_GNU_SOURCE -Inative tests/native/cost_sampler.c native/process/sampler.c \
 *          native/core/{poisson,address_table,site_table}.c native/os/{pages,shared_file}.c -pthread -lm -o cost_sampler
 *      for path in off unsampled sampled; do for pairs in 100000 200000; do
 *          valgrind --tool=callgrind --callgrind-out-file=/dev/null ./cost_sampler $path $pairs 2>&1 | grep Collected
 *      done; done
 *
 * and the difference of each two, divided by 100,000. The walker stands for a stack of 12 frames, all known; the loop
 * itself takes 7 instructions. The figures are in the header of native/process/sampler.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/sampler.h"

static uint32_t walk(hw_frame_ref *frames, uint32_t capacity, bool *truncated) {
    for (uint32_t i = 0; i < 12; i++) frames[i] = (hw_frame_ref){.key = i + 1};
    return 12;
}

static void describe(const hw_frame_ref *frame, hw_frame_text *text) {
    *text = (hw_frame_text){"file", 4, "function", 8, (uint32_t)frame->key};
}

int main(int argc, char **argv) {
    static const hw_frame_walker walker = {walk, describe};
    if (argc != 3) return 2;
    char directory[] = "/tmp/cost_sampler_XXXXXX", path[64];
    if (mkdtemp(directory) == NULL) return 1;
    bool sampled = strcmp(argv[1], "sampled") == 0;
    if (strcmp(argv[1], "off") != 0 && hw_sampler_start(directory, (uint64_t)512 << 10, 1, &walker) != 0) return 1;
    size_t size_bytes = sampled ? (size_t)1 << 30 : 1; /* with a mean of 512 KiB: surely, and one in 524,288 */
    for (long i = atol(argv[2]); i > 0; i--) {
        hw_sampler_allocated((void *)(64 * i), size_bytes);
        hw_sampler_freed((void *)(64 * i));
    }
    hw_sampler_stop();
    snprintf(path, sizeof path, "rm -r %s", directory);
    return system(path) == 0 ? 0 : 1;
}
