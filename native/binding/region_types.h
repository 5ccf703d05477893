/* The types of arenas, and who keeps whom alive: a view keeps its block, a block its arena and its region, an arena the
 * region that it is filling (heaps/arena.py has them all), a region the buffer that it lies in: a block of the upstream with
 * an export of ours. None refers back.
 *
 * So an address is good for as long as a view of it lives, whatever becomes of the arena. What a reset, or the end of a
 * mark, decides is when a region lets go of its buffer: at once, or, if views are out and the arena promotes, with the last.
 *
 * The lock is the GIL. Everything is whole between any two calls into Python. */
#ifndef HW_BINDING_REGION_TYPES_H
#define HW_BINDING_REGION_TYPES_H

#include "binding/binding.h"
#include "core/epochs.h"
#include "core/region.h"

typedef struct {
    PyObject_HEAD
    hw_region region;
    Py_buffer buffer;   /* of the upstream's block; obj NULL: closed */
    Py_ssize_t exports; /* views of blocks in it */
    bool abandoned;     /* closes with its last view */
    PyObject *weak_references;
} RegionObject;

typedef struct {
    PyObject_HEAD
    hw_epochs epochs;
    RegionObject *filling; /* NULL: none yet, or the arena is closed */
    PyObject *observer;    /* called with each new block, or NULL */
    uint64_t total_requested_bytes, total_blocks;
} ArenaObject;

typedef struct {
    PyObject_HEAD
    ArenaObject *arena;
    RegionObject *region;
    char *address;
    Py_ssize_t size_bytes;
    Py_ssize_t exports;
    uint64_t serial; /* of the epoch it was born in; 0: deallocated */
    uint32_t depth;
    bool pinned; /* counts as a view of itself for as long as it lives: the base of an array */
    bool leased; /* so does a lease, until it ends: leases.h */
    PyObject *weak_references;
} RegionBlockObject;

extern PyTypeObject HwRegion_Type, HwRegionBlock_Type;

/* A handle for a block that was placed; NULL with the error set. Counts nothing. */
RegionBlockObject *hw_region_block_new(ArenaObject *arena, RegionObject *region, uint64_t offset_bytes, Py_ssize_t size_bytes);

/* From now on the handle itself is a view, until it dies. NumPy keeps the object that an array lies in, and not the buffer
 * that the object exported (ndarray(buffer=...) releases it at once). */
void hw_region_block_pin(RegionBlockObject *block);

bool hw_region_block_is_live(const RegionBlockObject *block);

/* Lets go of the buffer: no view is out. */
void hw_region_close(RegionObject *region);

int hw_bind_region(PyObject *module);
int hw_bind_region_block(PyObject *module);
int hw_bind_arena(PyObject *module);

#endif
