/* The core's own assertions, as CBMC's: each is to hold, and what comes after may rely on it. */
#undef assert
#define assert(condition) \
    do { \
        __CPROVER_assert(condition, "an assertion of the core"); \
        __CPROVER_assume(condition); \
    } while (0)
