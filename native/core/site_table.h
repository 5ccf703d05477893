/* The site table: which call stacks hold how many bytes. A region of bytes without pointers, mapped from a file that
 * outlives the process, in four sections that only ever grow at their end:
 *
 *      strings   length (4 bytes), UTF-8, padded to 4         referred to by byte offset
 *      frames    (file, function, line)                       referred to by number
 *      links     frame numbers, innermost first               a stack is a run of them
 *      stacks    (run, counters)                              referred to by number
 *
 * What is stored once is found again through three hash indices and one cache that lie in private memory: the reader
 * does not need them, and a forked child inherits them as they are.
 *
 * Killed at any instruction: an entry is complete before the `used` figure that makes it visible is raised, and each
 * counter is one aligned 8-byte store. So a reader sees whole entries, and counters that miss at most one sample.
 *
 *   T1  used <= committed <= capacity, in every section.
 *   T2  every string offset, frame number and link run that an entry holds lies below the `used` of its section.
 *   T3  live_bytes of the header = the sum of live_bytes over all stacks; the same for live_blocks and samples.
 *   T4  the stack's live bytes when the header's live bytes were highest = its bytes_at_peak if its peak_epoch is the
 *       header's, its live_bytes otherwise.
 *
 * T4 is how "live at peak" costs O(1) per sample: a new peak raises the header's peak_epoch, which declares every
 * stack's present figure to be its figure at the peak; a stack writes that figure down when it next changes.
 *
 * The caller serialises the calls. No system call here: `commit` asks the caller to put memory under a range. */
#ifndef HW_CORE_SITE_TABLE_H
#define HW_CORE_SITE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_SITES_MAGIC UINT64_C(0x3130534554495357) /* "WSITES01" */
#define HW_SITES_VERSION 1

#define HW_SITES_FRAMES_MAX 32      /* innermost frames kept of a stack */
#define HW_SITES_FILE_BYTES 1024    /* of a file name; the end of a longer one is kept */
#define HW_SITES_FUNCTION_BYTES 256 /* of a qualified name; likewise */

#define HW_SITES_STACK_BITS 18
#define HW_SITES_NATIVE 0u     /* the stack without frames: no Python code was running on the thread */
#define HW_SITES_OVERFLOW 1u   /* the stack that takes what found no place in the table */
#define HW_SITES_NONE UINT32_MAX
#define HW_SITES_TRUNCATED (1u << 31) /* in a stack's depth: there were more frames further out */

enum hw_sites_section { HW_SITES_STRINGS, HW_SITES_FRAMES, HW_SITES_LINKS, HW_SITES_STACKS, HW_SITES_SECTIONS };

/* The header: 8-byte fields in this order, and the whole of it. Python reads it through _native.SITES_FIELDS. */
#define HW_SITES_FIELDS(X)                                                                                           \
    X(magic)                                                                                                         \
    X(version)                                                                                                       \
    X(pid)                                                                                                           \
    X(parent_pid)       /* of the forked parent whose live blocks were carried over; 0 for a fresh table */          \
    X(mean_bytes)       /* mean distance between sampling points; 0: every block is recorded */                      \
    X(strings_offset)                                                                                                \
    X(strings_used)     /* bytes */                                                                                  \
    X(frames_offset)                                                                                                 \
    X(frames_used)                                                                                                   \
    X(links_offset)                                                                                                  \
    X(links_used)                                                                                                    \
    X(stacks_offset)                                                                                                 \
    X(stacks_used)                                                                                                   \
    X(live_bytes)       /* estimated, as everything below that is in bytes */                                        \
    X(live_blocks)      /* sampled blocks, as everything below that is in blocks */                                  \
    X(peak_bytes)                                                                                                    \
    X(peak_epoch)                                                                                                    \
    X(samples)                                                                                                       \
    X(untracked_blocks) /* sampled, but there was no memory to remember them in: total without live */               \
    X(untracked_bytes)                                                                                               \
    X(unplaced_blocks)  /* booked on HW_SITES_OVERFLOW because the table was full */

/* One stack: two 4-byte fields (links, depth), then these of 8 bytes. */
#define HW_SITES_STACK_FIELDS(X)                                                                                     \
    X(live_bytes)                                                                                                    \
    X(live_blocks)                                                                                                   \
    X(total_bytes)                                                                                                   \
    X(samples)                                                                                                       \
    X(bytes_at_peak)                                                                                                 \
    X(blocks_at_peak)                                                                                                \
    X(peak_epoch)

typedef struct {
#define HW_FIELD(name) uint64_t name;
    HW_SITES_FIELDS(HW_FIELD)
} hw_sites_header;

typedef struct {
    uint32_t links; /* number of the first one */
    uint32_t depth; /* how many; HW_SITES_TRUNCATED may be added */
    HW_SITES_STACK_FIELDS(HW_FIELD)
#undef HW_FIELD
} hw_sites_stack;

typedef struct {
    uint32_t file;     /* string offset */
    uint32_t function; /* string offset */
    uint32_t line;     /* 0: unknown */
    uint32_t reserved;
} hw_sites_frame;

typedef struct {
    const char *file;
    size_t file_bytes;
    const char *function;
    size_t function_bytes;
    uint32_t line;
} hw_frame_text;

/* Puts memory under [offset, offset + size) of the region, zeroed. Returns 0 or an errno value. */
typedef int (*hw_sites_commit)(void *context, uint64_t offset, uint64_t size_bytes);

typedef struct {
    uint8_t *region;
    uint32_t *index[3]; /* strings, frames, stacks: entry + 1, 0 is empty */
    uint32_t index_mask[3];
    struct {
        uint64_t key;
        uint32_t frame;
    } *cache;
    uint64_t committed_bytes[HW_SITES_SECTIONS];
    uint64_t used[HW_SITES_SECTIONS]; /* the header's figures are copies of these */
    uint32_t strings;                 /* how many there are */
    uint64_t mean_bytes;
    hw_sites_commit commit;
    void *commit_context;
} hw_site_table;

uint64_t hw_site_table_region_bytes(void);  /* of the region, most of which is never committed */
uint64_t hw_site_table_private_bytes(void); /* of the indices and the cache, most of which is never touched */

/* An empty table. `private_memory` is zeroed and 8-aligned; `region` is page-aligned, and not touched before it is
 * committed. Returns 0, or what `commit` said. The magic is written last: a reader never takes half a header for one. */
int hw_site_table_create(hw_site_table *table, void *region, void *private_memory, hw_sites_commit commit,
                         void *commit_context, uint64_t mean_bytes, uint64_t pid);

/* After a fork, in the child: copies the stacks and what they refer to into `region`, a fresh one of the child's own,
 * and goes on there; all keep their numbers, all counters start at 0. The old region is only read below the figures
 * that the child's private memory had at the fork, where nothing changes but counters: the parent may go on writing.
 * On an error nothing has changed. */
int hw_site_table_carry_over(hw_site_table *table, void *region, hw_sites_commit commit, void *commit_context,
                             uint64_t pid, uint64_t parent_pid);

/* The frame that was added under `key`, or HW_SITES_NONE: a small cache that forgets. `key` identifies a code object
 * and an instruction in it; 0 is never found. */
uint32_t hw_site_table_find_frame(const hw_site_table *table, uint64_t key);

/* The frame with this text, added if need be, and remembered under `key`. HW_SITES_NONE: the table is full. */
uint32_t hw_site_table_add_frame(hw_site_table *table, uint64_t key, const hw_frame_text *text);

/* The stack with these frames, innermost first, added if need be. HW_SITES_OVERFLOW: the table is full. */
uint32_t hw_site_table_stack(hw_site_table *table, const uint32_t *frames, uint32_t depth, bool truncated);

/* Books a sampled block that was allocated; `tracked`: its end will be booked too. O(1). */
void hw_site_table_allocated(hw_site_table *table, uint32_t stack, uint64_t weight_bytes, bool tracked);

/* Books the end of a tracked block, with the weight it was booked with. O(1). */
void hw_site_table_freed(hw_site_table *table, uint32_t stack, uint64_t weight_bytes);

/* Books a block that was live before the fork: live in the child too, which holds it as much as its parent does, but
 * no part of what the child allocated. Only between carry_over and the first of the two functions above. */
void hw_site_table_inherited(hw_site_table *table, uint32_t stack, uint64_t weight_bytes);

/* Walks T1 to T4. O(everything). */
bool hw_site_table_check(const hw_site_table *table);

#endif
