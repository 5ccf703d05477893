/* A thread's caches of concurrent pools, in an object of its own, which CPython keeps in the thread's dictionary: when the thread ends
 * it is dropped, with the GIL held, and gives them back. hw_thread_caches is the way to it without a dictionary. It refers to pools
 * weakly: a pool may end before its threads, and its serial number says that a new one at the same address is another. */
#include "binding/concurrent_types.h"

_Thread_local ThreadCachesObject *hw_thread_caches;

uint64_t hw_pool_serial(void) {
    static uint64_t serials; /* the GIL's */
    return ++serials;
}

/* A new reference, or NULL: it is gone. */
static ConcurrentPoolObject *pool_of(const ThreadCache *cache) {
    PyObject *pool = NULL;
#if PY_VERSION_HEX >= 0x030D0000
    PyWeakref_GetRef(cache->pool, &pool);
#else
    pool = PyWeakref_GET_OBJECT(cache->pool);
    pool = pool == Py_None ? NULL : Py_NewRef(pool);
#endif
    return (ConcurrentPoolObject *)pool;
}

/* The thread ends. Not necessarily on that thread: after a fork, and at exit, another one clears what it left. */
static void caches_dealloc(ThreadCachesObject *self) {
    if (hw_thread_caches == self) hw_thread_caches = NULL;
    for (Py_ssize_t i = 0; i < self->count; i++) {
        ConcurrentPoolObject *pool = pool_of(&self->cache[i]);
        if (pool != NULL) hw_depot_close(pool->depot, self->cache[i].cache);
        Py_XDECREF(pool);
        Py_DECREF(self->cache[i].pool);
    }
    PyMem_Free(self->cache);
    PyObject_Free(self);
}

PyTypeObject HwThreadCaches_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.ThreadCaches",
    .tp_basicsize = sizeof(ThreadCachesObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)caches_dealloc,
};

/* That of this thread, made when it is first needed; borrowed. NULL with the error set. */
static ThreadCachesObject *caches_of_thread(void) {
    if (hw_thread_caches != NULL) return hw_thread_caches;
    PyObject *dictionary = PyThreadState_GetDict(); /* borrowed */
    if (dictionary == NULL) return (ThreadCachesObject *)PyErr_NoMemory();
    ThreadCachesObject *caches = PyObject_New(ThreadCachesObject, &HwThreadCaches_Type);
    if (caches == NULL) return NULL;
    caches->cache = NULL;
    caches->count = caches->room = 0;
    caches->latest.serial = 0;
    int result = PyDict_SetItemString(dictionary, HwThreadCaches_Type.tp_name, (PyObject *)caches);
    Py_DECREF(caches); /* the dictionary keeps it, until the thread ends */
    return result < 0 ? NULL : (hw_thread_caches = caches);
}

/* Makes room for one more, and forgets pools that are gone. 0 or -1. */
static int make_room(ThreadCachesObject *caches) {
    Py_ssize_t kept = 0;
    for (Py_ssize_t i = 0; i < caches->count; i++) {
        ConcurrentPoolObject *pool = pool_of(&caches->cache[i]);
        if (pool != NULL) caches->cache[kept++] = caches->cache[i];
        else Py_DECREF(caches->cache[i].pool);
        Py_XDECREF(pool); /* not its end: whoever holds it holds the GIL no more than we do */
    }
    caches->count = kept;
    if (kept < caches->room) return 0;
    ThreadCache *larger = PyMem_Realloc(caches->cache, (size_t)(2 * kept + 4) * sizeof *larger);
    if (larger == NULL) return PyErr_NoMemory(), -1;
    caches->cache = larger;
    caches->room = 2 * kept + 4;
    return 0;
}

/* NULL with the error set. */
static hw_depot_cache *find(ConcurrentPoolObject *pool) {
    ThreadCachesObject *caches = caches_of_thread();
    if (caches == NULL) return NULL;
    for (Py_ssize_t i = 0; i < caches->count; i++)
        if (caches->cache[i].serial == pool->serial) return (caches->latest = caches->cache[i]).cache;
    if (make_room(caches) < 0) return NULL;
    PyObject *weak = PyWeakref_NewRef((PyObject *)pool, NULL);
    if (weak == NULL) return NULL;
    hw_depot_cache *cache = hw_depot_open(pool->depot);
    if (cache == NULL) return Py_DECREF(weak), hw_cache_shared(pool);
    caches->latest = caches->cache[caches->count++] = (ThreadCache){weak, pool->serial, cache};
    return cache;
}

/* Release must not fail for want of memory for a cache: there is the shared one. */
hw_depot_cache *hw_cache_find(ConcurrentPoolObject *pool) {
    PyObject *error = hw_error_take(); /* a buffer may be dropped while one is under way */
    hw_depot_cache *cache = find(pool);
    hw_error_put(error); /* in place of ours, if there is one */
    return cache != NULL ? cache : hw_cache_shared(pool);
}
