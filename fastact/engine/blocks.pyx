# cython: language_level=3, cdivision=True
"""Packing: brings strided and half-precision data to the kernels in blocks on the stack, so that every path gives the same bits."""


from fastact.engine.threads cimport GRAIN, run_spans

cdef extern from "half.h" nogil:
    ctypedef unsigned short uint16_t
    void fa_from_half(float *y, const uint16_t *x, Py_ssize_t n)
    void fa_to_half(uint16_t *y, const float *x, Py_ssize_t n)
    void fa_from_brain(float *y, const uint16_t *x, Py_ssize_t n)
    void fa_to_brain(uint16_t *y, const float *x, Py_ssize_t n)
    void fa_choose_half(int level)

cdef extern from "sums.h" nogil:
    double fa_sum_f(const float *x, Py_ssize_t n)
    double fa_sum_d(const double *x, Py_ssize_t n)
    void fa_choose_sums(int level)

cdef enum:
    BLOCK = 512     # elements packed at a time: four buffers of doubles are 16 KiB of stack

ctypedef fused word:
    unsigned short
    unsigned int
    unsigned long long


def choose_level(int level):
    """Use the half-precision conversions and the sums of this instruction-set level (0: the portable ones)."""
    fa_choose_half(level)
    fa_choose_sums(level)


cdef double add_up(const void *values, Py_ssize_t n, int dtype) noexcept nogil:
    """The sum in double of numbers of a computing type."""
    return fa_sum_d(<const double *>values, n) if dtype == DOUBLE else fa_sum_f(<const float *>values, n)


cdef Py_ssize_t itemsize(int dtype) noexcept nogil:
    return 8 if dtype == DOUBLE else (4 if dtype == SINGLE else 2)


cdef inline void take(word *block, const char *data, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        block[i] = (<word *>(data + i * step))[0]

cdef inline void put(char *data, Py_ssize_t step, const word *block, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        (<word *>(data + i * step))[0] = block[i]


cdef void gather(void *block, const char *data, Py_ssize_t step, Py_ssize_t n, int dtype) noexcept nogil:
    """Bring elements into a contiguous block of the computing type; at most 1024 of half precision that do not follow one another."""
    cdef unsigned short halves[HALVES]
    if dtype == DOUBLE:
        take(<unsigned long long *>block, data, step, n)
    elif dtype == SINGLE:
        take(<unsigned int *>block, data, step, n)
    else:
        if step != 2:
            take(halves, data, step, n)
            data = <const char *>halves
        if dtype == HALF:
            fa_from_half(<float *>block, <const uint16_t *>data, n)
        else:
            fa_from_brain(<float *>block, <const uint16_t *>data, n)


cdef void scatter(char *data, Py_ssize_t step, const void *block, Py_ssize_t n, int dtype) noexcept nogil:
    """Write a block of the computing type to where it belongs; at most 1024 elements of half precision, unless they follow one another."""
    cdef unsigned short halves[HALVES]
    cdef unsigned short *packed = <unsigned short *>data
    if step != 2:
        packed = halves
    if dtype == DOUBLE:
        put(data, step, <const unsigned long long *>block, n)
    elif dtype == SINGLE:
        put(data, step, <const unsigned int *>block, n)
    else:
        if dtype == HALF:
            fa_to_half(<uint16_t *>packed, <const float *>block, n)
        else:
            fa_to_brain(<uint16_t *>packed, <const float *>block, n)
        if step != 2:
            put(data, step, halves, n)


cdef inline bint direct(MapCall *call, int k) noexcept nogil:
    """Whether the kernel can use operand `k` where it stands."""
    return call.dtype >= SINGLE and call.steps[k] == itemsize(call.dtype)


cdef inline void bring(void **at, MapCall *call, Py_ssize_t start, Py_ssize_t n, double *buffers) noexcept nogil:
    """Point `at` to the inputs of a block: contiguous ones where they stand, others packed into `buffers`."""
    cdef int k
    for k in range(4):
        at[k] = NULL
    for k in range(1, call.inputs + 1):
        if direct(call, k):
            at[k] = call.data[k] + start * call.steps[k]
        else:
            at[k] = buffers + k * BLOCK
            gather(at[k], call.data[k] + start * call.steps[k], call.steps[k], n, call.dtype)


cdef inline Py_ssize_t before_line(MapCall *call, Py_ssize_t start) noexcept nogil:
    """How many elements of the result come before the next cache line: vectors that straddle two lines cost a fifth of the bandwidth."""
    return <Py_ssize_t>(-<size_t>(call.data[0] + start * call.steps[0]) & 63) // itemsize(call.dtype)


cdef void map_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef MapCall *call = <MapCall *>context
    cdef double space[4 * BLOCK + 8]
    cdef double *buffers = <double *>at_line(space)
    cdef float room[MAX_PARAMS]
    cdef void *at[4]
    cdef void *p = params_of(call, room)
    cdef Py_ssize_t block = BLOCK if call.dtype >= SINGLE else HALVES, n, head, k, ready = 0
    for k in range(call.inputs + 1):
        ready += direct(call, k)
    if ready == call.inputs + 1:
        block = stop - start
    n = block if block < stop - start else stop - start
    if ready == call.inputs + 1:
        head = before_line(call, start)
        n = head if 0 < head < n else n
    while start < stop:
        bring(at, call, start, n, buffers)
        at[0] = <void *>(call.data[0] + start * call.steps[0]) if direct(call, 0) else (<void *>buffers if direct(call, 1) else at[1])
        call.kernel(at[0], at[1], at[2], at[3], p, n)
        if not direct(call, 0):
            scatter(call.data[0] + start * call.steps[0], call.steps[0], at[0], n, call.dtype)
        start += n
        n = block if block < stop - start else stop - start


cdef void run_map(MapCall *call, Py_ssize_t n, double cost) noexcept nogil:
    """Run an elementwise kernel over n elements; `cost` is in nanoseconds per element."""
    run_spans(map_span, call, n, GRAIN, n * cost)


cdef double sum_map(MapCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """The sum of an elementwise kernel's values over a span, in double; nothing is stored."""
    cdef double buffers[4 * BLOCK]
    cdef float room[MAX_PARAMS]
    cdef void *at[4]
    cdef void *p = params_of(call, room)
    cdef double total = 0
    cdef Py_ssize_t n
    while start < stop:
        n = BLOCK if stop - start > BLOCK else stop - start
        bring(at, call, start, n, buffers)
        call.kernel(buffers, at[1], at[2], at[3], p, n)
        total += add_up(buffers, n, call.dtype)
        start += n
    return total
