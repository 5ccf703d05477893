/* The module heapwright._native: every bind function, in the order of the rooms. */
#include "binding/binding.h"

typedef int (*bind_function)(PyObject *module);

int hw_bind_births(PyObject *module);
int hw_bind_leases(PyObject *module);
int hw_bind_process(PyObject *module);
int hw_bind_numpy_hook(PyObject *module);
int hw_bind_sampler(PyObject *module);
int hw_bind_space(PyObject *module);
int hw_bind_export(PyObject *module);
int hw_bind_block(PyObject *module);
int hw_bind_heap(PyObject *module);
int hw_bind_share(PyObject *module);
int hw_bind_shared(PyObject *module);
int hw_bind_weak(PyObject *module);
int hw_bind_node(PyObject *module);
int hw_bind_node_field(PyObject *module);
int hw_bind_node_graph(PyObject *module);
int hw_bind_account(PyObject *module);
int hw_bind_buffer(PyObject *module);
int hw_bind_fixed_pool(PyObject *module);
int hw_bind_tiered_pool(PyObject *module);
int hw_bind_region(PyObject *module);
int hw_bind_region_block(PyObject *module);
int hw_bind_arena(PyObject *module);
int hw_bind_concurrent_pool(PyObject *module);
int hw_bind_segment(PyObject *module);
int hw_bind_record(PyObject *module);
int hw_bind_record_field(PyObject *module);
int hw_bind_record_heap(PyObject *module);
int hw_bind_record_run(PyObject *module);
int hw_bind_record_table(PyObject *module);
int hw_bind_record_weak(PyObject *module);

static const bind_function BIND[] = {
    hw_bind_births,
    hw_bind_leases,
    hw_bind_process,
    hw_bind_numpy_hook,
    hw_bind_sampler,
    hw_bind_peer,
    hw_bind_arenas,
    hw_bind_space,
    hw_bind_export,
    hw_bind_block,
    hw_bind_heap,
    hw_bind_share,
    hw_bind_shared,
    hw_bind_weak,
    hw_bind_node,
    hw_bind_node_field,
    hw_bind_node_graph,
    hw_bind_account,
    hw_bind_buffer,
    hw_bind_fixed_pool,
    hw_bind_tiered_pool,
    hw_bind_region,
    hw_bind_region_block,
    hw_bind_arena,
    hw_bind_concurrent_pool,
    hw_bind_segment,
    hw_bind_record,
    hw_bind_record_field,
    hw_bind_record_heap,
    hw_bind_record_run,
    hw_bind_record_table,
    hw_bind_record_weak,
    NULL,
};

PyObject *hw_error_class(const char *name) {
    const char *dot = strchr(name, '.');
    char path[64];
    PyOS_snprintf(path, sizeof path, "heapwright.model.%.*s", dot == NULL ? 6 : (int)(dot - name), dot == NULL ? "errors" : name);
    PyObject *module = PyImport_ImportModule(path);
    if (module == NULL) return NULL;
    PyObject *class = PyObject_GetAttrString(module, dot == NULL ? name : dot + 1);
    Py_DECREF(module);
    Py_XDECREF(class); /* the module keeps its classes alive for as long as the interpreter lives */
    return class;
}

static int module_exec(PyObject *module) {
    for (size_t i = 0; BIND[i] != NULL; i++)
        if (BIND[i](module) < 0) return -1;
    return 0;
}

static PyModuleDef_Slot SLOTS[] = {
    {Py_mod_exec, (void *)module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    /* The process allocator is one per process: a second interpreter is refused by the import itself. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef DEFINITION = {
    PyModuleDef_HEAD_INIT,
    .m_name = "heapwright._native",
    .m_doc = "The native core of heapwright behind a thin binding; use it through the package.",
    .m_size = 0,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&DEFINITION); }
