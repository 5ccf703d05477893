#include "process/sampler.h"
__attribute__((weak)) void hw_sampler_allocated(void *address, size_t size_bytes) { (void)address, (void)size_bytes; }
__attribute__((weak)) void hw_sampler_freed(void *address) { (void)address; }
