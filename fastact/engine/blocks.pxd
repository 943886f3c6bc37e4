"""Kernels as the engine sees them: C pointers without names, and calls of elementwise kernels on strided data of any dtype."""

cdef enum:
    HALF = 0        # float16
    BRAIN = 1       # bfloat16
    SINGLE = 2
    DOUBLE = 3
    MAX_PARAMS = 4

ctypedef void (*map_kernel)(void *out, void *a, void *b, void *c, void *p, Py_ssize_t n) noexcept nogil

cdef struct MapCall:
    map_kernel kernel
    int dtype
    int inputs
    char *data[4]               # out, then up to three inputs
    Py_ssize_t steps[4]         # in bytes
    double params[MAX_PARAMS]

cdef enum:
    HALVES = 1024   # elements of half precision packed at a time

cdef Py_ssize_t itemsize(int dtype) noexcept nogil
cdef void gather(void *block, const char *data, Py_ssize_t step, Py_ssize_t n, int dtype) noexcept nogil
cdef void scatter(char *data, Py_ssize_t step, const void *block, Py_ssize_t n, int dtype) noexcept nogil
cdef void run_map(MapCall *call, Py_ssize_t n, double cost) noexcept nogil
cdef double sum_map(MapCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
cdef double add_up(const void *values, Py_ssize_t n, int dtype) noexcept nogil

cdef inline void *at_line(void *room) noexcept nogil:
    """The first cache line in a buffer that has 64 bytes to spare: vectors that straddle two lines take up to half as long again."""
    return <void *>((<size_t>room + 63) & ~<size_t>63)

cdef inline void *params_of(MapCall *call, float *room) noexcept nogil:
    """The parameters in the computing type."""
    cdef int k
    if call.dtype == DOUBLE:
        return call.params
    for k in range(MAX_PARAMS):
        room[k] = <float>call.params[k]
    return room
