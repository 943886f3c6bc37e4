"""Calls of row kernels on rows of any layout and dtype."""

cdef enum:              # what a kernel takes, as the number of its role: rows that follow one another, or that stand side by side
    ROWS = 0
    COLUMNS = 1

ctypedef void (*row_kernel)(void *out, void *a, void *b, void *c, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride) noexcept nogil

cdef enum:
    SHORT = 48      # shorter rows are packed side by side, so that a vector holds one element of many rows
    LINE = 128      # the longest row that can be packed
    TOGETHER = 64   # rows packed at a time

cdef struct RowCall:
    row_kernel kernel
    int dtype
    int operands                # with out
    int way                     # how rows come to the kernel, which see in rows.pyx
    bint failed                 # a buffer could not be had
    bint has_core[4]            # a row of n elements, or one element a row
    char *data[4]               # out, then up to three inputs
    Py_ssize_t core[4]          # step within a row, in bytes
    Py_ssize_t inner[4]         # from a row to the next
    Py_ssize_t outer[4]         # from a group of `inner_count` rows to the next
    Py_ssize_t inner_count
    Py_ssize_t n                # elements in a row
    Py_ssize_t stride           # between the elements of rows that stand side by side, in elements; else 1

cdef int find_way(RowCall *call, Py_ssize_t rows) noexcept nogil
cdef void run_rows(RowCall *call, Py_ssize_t rows, double cost) noexcept nogil
cdef char *place(RowCall *call, int k, Py_ssize_t row) noexcept nogil
cdef void pack(void *block, RowCall *call, int k, Py_ssize_t row, Py_ssize_t width) noexcept nogil
cdef void unpack(const void *block, RowCall *call, Py_ssize_t row, Py_ssize_t width) noexcept nogil
