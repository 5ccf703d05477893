/* ConcurrentPool, and what it asks of thread_caches.c. */
#ifndef HW_BINDING_CONCURRENT_TYPES_H
#define HW_BINDING_CONCURRENT_TYPES_H

#include "binding/pool_types.h"
#include "core/depot.h"

typedef struct {
    PyObject_HEAD
    BlockStore head;
    hw_depot *depot;
    size_t control_bytes;
    hw_chunks chunking;
    ChunkTable chunks;
    PoolTotals totals;
    size_t block_bytes, alignment;
    uint64_t serial; /* of no pool before: an address may come back, this does not */
    bool bounded;
    PyObject *upstream;
    PyObject *weak_references;
} ConcurrentPoolObject;

/* ---- thread_caches.c */

typedef struct {
    PyObject *pool; /* a weak reference */
    uint64_t serial;
    hw_depot_cache *cache;
} ThreadCache;

typedef struct {
    PyObject_HEAD
    ThreadCache *cache;
    Py_ssize_t count, room;
    ThreadCache latest; /* the one that was asked for last */
} ThreadCachesObject;

extern _Thread_local ThreadCachesObject *hw_thread_caches; /* this thread's, or NULL */
extern PyTypeObject HwThreadCaches_Type;

/* A number that no pool had before. */
uint64_t hw_pool_serial(void);

/* That of threads for which there is no other: cache 0, opened with the pool. */
static inline hw_depot_cache *hw_cache_shared(const ConcurrentPoolObject *pool) { return &pool->depot->cache[0]; }

/* This thread's cache of a pool that it did not ask for last. Never fails. */
hw_depot_cache *hw_cache_find(ConcurrentPoolObject *pool);

/* This thread's cache of the pool. */
static inline hw_depot_cache *hw_cache_of(ConcurrentPoolObject *pool) {
    const ThreadCachesObject *caches = hw_thread_caches;
    if (__builtin_expect(caches != NULL && caches->latest.serial == pool->serial, 1)) return caches->latest.cache;
    return hw_cache_find(pool);
}

#endif
