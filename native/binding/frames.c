/* The Python frames of the calling thread, read where the interpreter keeps them.
 *
 * The public way (PyThreadState_GetFrame, PyFrame_GetBack) makes a frame object per frame: it allocates inside malloc,
 * and on 3.11 can start a garbage collection there. The internal chain of _PyInterpreterFrame needs neither, but its
 * layout changes with each minor version; each one known has its block below, and nothing else here differs.
 *
 * Why it is safe to look:
 *   - only with the GIL, that is when this thread's own thread state is the running one; it is kept throughout, so no
 *     other thread can change a frame or free a code object before `describe` has read it;
 *   - an incomplete frame (its first instructions have not run, or it is the interpreter's own entry) is skipped;
 *   - so is a frame whose code object is being deallocated. On 3.11 a frame is still the current one while it lets go
 *     of its code, and a weak reference's callback may then run Python, and allocate;
 *   - PyCode_Addr2Line allocates nothing: it decodes co_linetable. */
#define Py_BUILD_CORE 1
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "binding/frames.h"

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED)
#define FRAMES_KNOWN 1
#else
#define FRAMES_KNOWN 0
#endif

const bool hw_frames_visible = FRAMES_KNOWN;

#if FRAMES_KNOWN

#include <internal/pycore_frame.h>

#define INCOMPLETE_MAX 1024 /* skipped in a row at most: a chain is not walked for ever, whatever it holds */

#if PY_VERSION_HEX >= 0x030D0000 /* 3.13 */

static PyThreadState *running_thread(void) { return PyThreadState_GetUnchecked(); }
static _PyInterpreterFrame *innermost(PyThreadState *thread) { return thread->current_frame; }
static PyObject *code_of(_PyInterpreterFrame *frame) { return frame->f_executable; }
static bool is_entry(_PyInterpreterFrame *frame) { return frame->owner == FRAME_OWNED_BY_CSTACK; }
static uint64_t version_of(PyCodeObject *code) { return code->co_version; }

#elif PY_VERSION_HEX >= 0x030C0000 /* 3.12 */

static PyThreadState *running_thread(void) { return _PyThreadState_UncheckedGet(); }
static _PyInterpreterFrame *innermost(PyThreadState *thread) {
    return thread->cframe != NULL ? thread->cframe->current_frame : NULL;
}
static PyObject *code_of(_PyInterpreterFrame *frame) { return (PyObject *)frame->f_code; }
static bool is_entry(_PyInterpreterFrame *frame) { return frame->owner == FRAME_OWNED_BY_CSTACK; }
static uint64_t version_of(PyCodeObject *code) { return code->co_version; }

#else /* 3.11 */

/* The running thread state is one per process here, so it must be compared with this thread's own. */
static PyThreadState *running_thread(void) {
    PyThreadState *own = PyGILState_GetThisThreadState();
    return own != NULL && own == _PyThreadState_UncheckedGet() ? own : NULL;
}
static _PyInterpreterFrame *innermost(PyThreadState *thread) {
    return thread->cframe != NULL ? thread->cframe->current_frame : NULL;
}
static PyObject *code_of(_PyInterpreterFrame *frame) { return (PyObject *)frame->f_code; }
static bool is_entry(_PyInterpreterFrame *frame) { return false; }
static uint64_t version_of(PyCodeObject *code) { return 0; }

#endif

/* Never start from one of two words that vary: mix(a, b) only sees a ^ b, and addresses differ little. */
static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

/* The hash that the string has stored with itself, or else a cheaper one of the same text. A string that is asked for
 * its hash later only makes one more entry in a cache. */
static uint64_t text_stamp(PyObject *text) {
    if (!PyUnicode_Check(text)) return 0;
    Py_hash_t stored = ((PyASCIIObject *)text)->hash;
    if (stored != -1) return (uint64_t)stored;
    uint64_t hash = 1, word = 0;
    Py_ssize_t bytes = PyUnicode_GET_LENGTH(text) * PyUnicode_KIND(text);
    const char *data = PyUnicode_DATA(text);
    for (; bytes >= 8; data += 8, bytes -= 8) {
        memcpy(&word, data, 8);
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, data, (size_t)bytes);
    return mix(mix(hash, word), (uint64_t)PyUnicode_GET_LENGTH(text));
}

/* What tells this code object from every other that was or will be at its address. From 3.12 on it has a number of its
 * own (0 once 2^32 have been given out); before, its texts, its place, its size and its line table have to do: two
 * code objects equal in all of these can differ only in the line of an instruction. */
static uint64_t code_key(PyCodeObject *code) {
    uint64_t version = version_of(code), key = mix(1, (uintptr_t)code);
    if (version != 0) return mix(key, version);
    key = mix(key, (uintptr_t)code->co_linetable);
    key = mix(key, text_stamp(code->co_qualname));
    key = mix(key, text_stamp(code->co_filename));
    return mix(key, (uint64_t)code->co_firstlineno << 32 | (uint64_t)(uint32_t)Py_SIZE(code));
}

static uint32_t walk(hw_frame_ref *frames, uint32_t capacity, bool *truncated) {
    PyThreadState *thread = running_thread();
    if (thread == NULL) return 0;
    uint32_t depth = 0, skipped = 0;
    for (_PyInterpreterFrame *frame = innermost(thread); frame != NULL; frame = frame->previous) {
        PyObject *code = code_of(frame);
        if (is_entry(frame) || code == NULL || !PyCode_Check(code) || Py_REFCNT(code) <= 0 ||
            _PyFrame_IsIncomplete(frame)) {
            if (++skipped > INCOMPLETE_MAX) break;
            continue;
        }
        if (depth == capacity) {
            *truncated = true;
            break;
        }
        int32_t offset_bytes = _PyInterpreterFrame_LASTI(frame) * (int32_t)sizeof(_Py_CODEUNIT);
        uint64_t key = mix(code_key((PyCodeObject *)code), (uint64_t)(uint32_t)offset_bytes);
        frames[depth++] = (hw_frame_ref){key, code, offset_bytes};
    }
    return depth;
}

/* Encodes as UTF-8 what fits, counted from the end: the end of a path or of a qualified name says the most. A lone
 * surrogate (an undecodable byte of a file name) is encoded like any other code point; the reader allows for it. */
static size_t encode_end(PyObject *text, char *buffer, size_t capacity, const char **start) {
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    char *out = buffer + capacity;
    for (Py_ssize_t i = PyUnicode_GET_LENGTH(text) - 1; i >= 0; i--) {
        Py_UCS4 point = PyUnicode_READ(kind, data, i);
        int bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        if (out - buffer < bytes) break;
        static const unsigned char LEAD[] = {0, 0, 0xC0, 0xE0, 0xF0};
        for (int rest = bytes; rest > 1; rest--, point >>= 6) *--out = (char)(0x80 | (point & 0x3F));
        *--out = (char)(LEAD[bytes == 1 ? 0 : bytes] | point);
    }
    *start = out;
    return (size_t)(buffer + capacity - out);
}

/* ASCII, which most texts are, is UTF-8 already: no copy, the code object keeps it alive. */
static size_t text_of(PyObject *text, char *buffer, size_t capacity, const char **start) {
    if (text == NULL || !PyUnicode_Check(text)) {
        *start = "?";
        return 1;
    }
    if (!PyUnicode_IS_COMPACT_ASCII(text)) return encode_end(text, buffer, capacity, start);
    size_t bytes = (size_t)PyUnicode_GET_LENGTH(text), kept = bytes < capacity ? bytes : capacity;
    *start = (const char *)PyUnicode_DATA(text) + (bytes - kept);
    return kept;
}

static void describe(const hw_frame_ref *frame, hw_frame_text *text) {
    static char file[HW_SITES_FILE_BYTES], function[HW_SITES_FUNCTION_BYTES]; /* called by one thread at a time */
    PyCodeObject *code = (PyCodeObject *)frame->code;
    text->file_bytes = text_of(code->co_filename, file, sizeof file, &text->file);
    text->function_bytes = text_of(code->co_qualname, function, sizeof function, &text->function);
    int line = PyCode_Addr2Line(code, frame->offset_bytes);
    text->line = line > 0 ? (uint32_t)line : 0; /* -1: an instruction that no line of the source stands for */
}

#else

static uint32_t walk(hw_frame_ref *frames, uint32_t capacity, bool *truncated) { return 0; }
static void describe(const hw_frame_ref *frame, hw_frame_text *text) { *text = (hw_frame_text){.file = "", .function = ""}; }

#endif

const hw_frame_walker hw_frames_walker = {walk, describe};
