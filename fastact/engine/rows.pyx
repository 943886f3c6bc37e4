# cython: language_level=3, cdivision=True
"""The row driver: brings rows of any stride and dtype to the row kernels, whole, side by side as columns, or packed."""

from cython cimport floating
from libc.stdlib cimport free, malloc

from fastact.engine.blocks cimport DOUBLE, HALVES, SINGLE, at_line, gather, itemsize, scatter
from fastact.engine.threads cimport run_spans

cdef extern from "transpose.h" nogil:
    void fa_transpose_f(float *to, Py_ssize_t to_step, const float *source, Py_ssize_t from_step, Py_ssize_t rows, Py_ssize_t columns)
    void fa_transpose_d(double *to, Py_ssize_t to_step, const double *source, Py_ssize_t from_step, Py_ssize_t rows, Py_ssize_t columns)

cdef enum:
    ROOM = 2048     # elements of rows that are buffered together, so that a kernel can take several at once
    LEAST = 32      # columns that are converted together: a cache line ...
    MOST = 512      # ... or more, where they are short

cdef enum:          # how rows come to a kernel
    WHOLE           # as they are, one after another
    BUFFERED        # some at a time, through a buffer
    BESIDE          # as they are, side by side
    CONVERTED       # side by side, some columns at a time through a buffer
    PACKED          # short rows: brought side by side on the stack


cdef char *place(RowCall *call, int k, Py_ssize_t row) noexcept nogil:
    """Where operand k's row begins."""
    if call.inner_count == 1:
        return call.data[k] + row * call.outer[k]
    return call.data[k] + (row // call.inner_count) * call.outer[k] + (row % call.inner_count) * call.inner[k]


cdef inline bint whole(RowCall *call) noexcept nogil:
    """Whether every row is contiguous, in a computing type."""
    cdef int k
    for k in range(call.operands):
        if call.has_core[k] and call.core[k] != itemsize(call.dtype):
            return False
    return call.dtype >= SINGLE


cdef inline Py_ssize_t side_by_side(RowCall *call) noexcept nogil:
    """The step between elements, in elements, where neighbouring rows stand side by side; else 1."""
    cdef Py_ssize_t size = itemsize(call.dtype), step = 0
    cdef int k
    for k in range(call.operands):
        if call.inner[k] != size:
            return 1
        if call.has_core[k]:
            if (step and call.core[k] != step) or call.core[k] <= size or call.core[k] % size:
                return 1
            step = call.core[k]
    return step // size


cdef inline void call_at(RowCall *call, Py_ssize_t row, Py_ssize_t width, Py_ssize_t stride) noexcept nogil:
    call.kernel(place(call, 0, row), place(call, 1, row), place(call, 2, row) if call.operands > 2 else NULL,
                place(call, 3, row) if call.operands > 3 else NULL, call.n, width, stride)


cdef int find_way(RowCall *call, Py_ssize_t rows) noexcept nogil:
    """Decide how the rows of a call come to its kernel, which is still to be found; the role of that kernel."""
    call.stride = side_by_side(call)
    if call.stride > 1 and call.inner_count >= 16:
        call.way = BESIDE if call.dtype >= SINGLE else CONVERTED
    elif call.n < SHORT and rows > 1:
        call.way = PACKED
    else:
        call.way = WHOLE if whole(call) else BUFFERED
    return ROWS if call.way == WHOLE or call.way == BUFFERED else COLUMNS


cdef void columns_span(RowCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Rows side by side: as many as follow one another, in one call."""
    cdef Py_ssize_t width
    while start < stop:
        width = call.inner_count - start % call.inner_count
        width = width if width < stop - start else stop - start
        call_at(call, start, width, call.stride)
        start += width


cdef inline Py_ssize_t even_step(RowCall *call, int k, Py_ssize_t row, Py_ssize_t width) noexcept nogil:
    """The step from row to row, where it is the same for all `width` rows; else 0."""
    if call.inner_count == 1:
        return call.outer[k]
    return call.inner[k] if row % call.inner_count + width <= call.inner_count else 0


cdef inline bint adjacent(RowCall *call, Py_ssize_t row, Py_ssize_t width) noexcept nogil:
    """Whether `width` whole rows follow one another in memory."""
    cdef Py_ssize_t size = itemsize(call.dtype)
    cdef int k
    for k in range(call.operands):
        if even_step(call, k, row, width) != (call.n * size if call.has_core[k] else size):
            return False
    return True


cdef void whole_span(RowCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Contiguous rows: all in one call where they follow one another."""
    cdef Py_ssize_t row, width = stop - start if adjacent(call, start, stop - start) else 1
    for row from start <= row < stop by width:
        call_at(call, row, width, 1)


cdef inline void transpose(floating *to, Py_ssize_t to_step, const floating *source, Py_ssize_t from_step, Py_ssize_t rows,
                           Py_ssize_t columns) noexcept nogil:
    """to[c * to_step + r] = source[r * from_step + c]; steps in elements."""
    if floating is float:
        fa_transpose_f(to, to_step, source, from_step, rows, columns)
    else:
        fa_transpose_d(to, to_step, source, from_step, rows, columns)


cdef inline bint one_run(RowCall *call, int k, Py_ssize_t row, Py_ssize_t width, Py_ssize_t n) noexcept nogil:
    """Whether `width` rows of n elements follow one another, and are few enough to be converted at once."""
    return even_step(call, k, row, width) == n * itemsize(call.dtype) and (n == 1 or call.core[k] == itemsize(call.dtype)) and n <= SHORT


cdef inline void pack_rows(floating *block, RowCall *call, int k, Py_ssize_t row, Py_ssize_t width) noexcept nogil:
    """Bring `width` rows of operand k side by side: at once where they are whole and evenly spaced, else one by one."""
    cdef Py_ssize_t j, n = call.n if call.has_core[k] else 1, step = even_step(call, k, row, width)
    cdef floating lines[SHORT * TOGETHER]
    if call.dtype >= SINGLE and step % sizeof(floating) == 0 and step and (n == 1 or call.core[k] == sizeof(floating)):
        transpose(block, TOGETHER, <const floating *>place(call, k, row), step // <Py_ssize_t>sizeof(floating), width, n)
    elif one_run(call, k, row, width, n):
        gather(lines, place(call, k, row), itemsize(call.dtype), width * n, call.dtype)
        transpose(block, TOGETHER, lines, n, width, n)
    else:
        for j in range(width):
            gather(lines, place(call, k, row + j), call.core[k], n, call.dtype)
            transpose(block + j, TOGETHER, lines, n, 1, n)


cdef inline void unpack_rows(const floating *block, RowCall *call, Py_ssize_t row, Py_ssize_t width) noexcept nogil:
    """Put the results of `width` rows back from their columns."""
    cdef Py_ssize_t j, n = call.n if call.has_core[0] else 1, step = even_step(call, 0, row, width)
    cdef floating lines[SHORT * TOGETHER]
    if call.dtype >= SINGLE and step % sizeof(floating) == 0 and step and (n == 1 or call.core[0] == sizeof(floating)):
        transpose(<floating *>place(call, 0, row), step // <Py_ssize_t>sizeof(floating), block, TOGETHER, n, width)
    elif one_run(call, 0, row, width, n):
        transpose(lines, n, block, TOGETHER, n, width)
        scatter(place(call, 0, row), itemsize(call.dtype), lines, width * n, call.dtype)
    else:
        for j in range(width):
            transpose(lines, n, block + j, TOGETHER, n, 1)
            scatter(place(call, 0, row + j), call.core[0], lines, n, call.dtype)


cdef void pack(void *block, RowCall *call, int k, Py_ssize_t row, Py_ssize_t width) noexcept nogil:
    """Bring up to 64 short rows of operand k side by side, 64 elements apart, in the computing type."""
    if call.dtype == DOUBLE:
        pack_rows(<double *>block, call, k, row, width)
    else:
        pack_rows(<float *>block, call, k, row, width)


cdef void unpack(const void *block, RowCall *call, Py_ssize_t row, Py_ssize_t width) noexcept nogil:
    """Put them back as the rows of operand 0."""
    if call.dtype == DOUBLE:
        unpack_rows(<const double *>block, call, row, width)
    else:
        unpack_rows(<const float *>block, call, row, width)


cdef void packed_span(RowCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Short rows: packed side by side on the stack, computed as columns, and put back."""
    cdef double blocks[4][SHORT * TOGETHER]
    cdef Py_ssize_t width
    cdef int k
    while start < stop:
        width = TOGETHER if stop - start > TOGETHER else stop - start
        for k in range(1, call.operands):
            pack(blocks[k], call, k, start, width)
        call.kernel(blocks[0], blocks[1], blocks[2], blocks[3], call.n, width, TOGETHER)
        unpack(blocks[0], call, start, width)
        start += width


cdef inline void copy_run(RowCall *call, char *data, Py_ssize_t step, char *buffer, Py_ssize_t n, bint back) noexcept nogil:
    """Bring elements at even steps to a buffer of the computing type, or back; half precision with gaps in pieces."""
    cdef Py_ssize_t size = 8 if call.dtype == DOUBLE else 4, most = n if step == itemsize(call.dtype) else HALVES, i, count
    for i from 0 <= i < n by most:
        count = most if n - i > most else n - i
        if back:
            scatter(data + i * step, step, buffer + i * size, count, call.dtype)
        else:
            gather(buffer + i * size, data + i * step, step, count, call.dtype)


cdef inline void copy_rows(RowCall *call, int k, Py_ssize_t row, Py_ssize_t width, char *buffer, bint back) noexcept nogil:
    """Bring `width` rows of one operand to a buffer where they follow one another, or back; as one run where they are one."""
    cdef Py_ssize_t size = 8 if call.dtype == DOUBLE else 4, n = call.n if call.has_core[k] else 1, step = even_step(call, k, row, width), j
    if n == 1 and step:
        copy_run(call, place(call, k, row), step, buffer, width, back)
    elif step and step == n * call.core[k]:
        copy_run(call, place(call, k, row), call.core[k], buffer, width * n, back)
    else:
        for j in range(width):
            copy_run(call, place(call, k, row + j), call.core[k], buffer + j * n * size, n, back)


cdef char *make_buffers(RowCall *call, void **at, Py_ssize_t most) noexcept nogil:
    """Buffers for `most` rows of each operand, to be freed; out shares the buffer of the first rows. NULL where there is no memory."""
    cdef Py_ssize_t size = (8 if call.dtype == DOUBLE else 4) * most, used = 0
    cdef char *buffers
    cdef char *line
    cdef int k, first = 0
    for k in range(call.operands):
        used += call.n if call.has_core[k] else 1
    buffers = <char *>malloc(used * size + 64)
    line = <char *>at_line(buffers)
    if buffers is NULL:
        call.failed = True      # threads only ever set it
    used = 0
    at[2] = at[3] = NULL
    for k in range(1, call.operands):
        at[k] = line + used * size
        used += call.n if call.has_core[k] else 1
        first = first or (k if call.has_core[k] else 0)
    at[0] = at[first] if call.has_core[0] else line + used * size
    return buffers


cdef void buffered_span(RowCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Rows that are neither whole nor side by side: as many at a time as fit into buffers."""
    cdef Py_ssize_t most = max(1, min(ROOM // call.n, stop - start)), row, width
    cdef void *at[4]
    cdef char *buffers = make_buffers(call, at, most)
    cdef int k
    for row from start <= row < (stop if buffers is not NULL else start) by most:
        width = most if most < stop - row else stop - row
        for k in range(1, call.operands):
            copy_rows(call, k, row, width, <char *>at[k], False)
        call.kernel(at[0], at[1], at[2], at[3], call.n, width, 1)
        copy_rows(call, 0, row, width, <char *>at[0], True)
    free(buffers)


cdef inline void copy_columns(RowCall *call, int k, Py_ssize_t row, Py_ssize_t width, char *buffer, Py_ssize_t most,
                              bint back) noexcept nogil:
    """Bring `width` rows that stand side by side to a buffer, `most` elements apart, or back."""
    cdef Py_ssize_t i
    cdef char *data = place(call, k, row)
    for i in range(call.n if call.has_core[k] else 1):
        copy_run(call, data + i * call.core[k], call.inner[k], buffer + i * most * sizeof(float), width, back)


cdef void converted_span(RowCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Rows of half precision side by side: as many columns at a time as fit into buffers, but no less than a cache line of them."""
    cdef Py_ssize_t most = max(LEAST, min(MOST, 4 * ROOM // call.n // LEAST * LEAST)), width
    cdef void *at[4]
    cdef char *buffers = make_buffers(call, at, most)
    cdef int k
    while start < stop and buffers is not NULL:
        width = min(min(most, stop - start), call.inner_count - start % call.inner_count)
        for k in range(1, call.operands):
            copy_columns(call, k, start, width, <char *>at[k], most, False)
        call.kernel(at[0], at[1], at[2], at[3], call.n, width, most)
        copy_columns(call, 0, start, width, <char *>at[0], most, True)
        start += width
    free(buffers)


cdef void rows_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef RowCall *call = <RowCall *>context
    if call.way == BESIDE:
        columns_span(call, start, stop)
    elif call.way == CONVERTED:
        converted_span(call, start, stop)
    elif call.way == PACKED:
        packed_span(call, start, stop)
    elif call.way == WHOLE:
        whole_span(call, start, stop)
    else:
        buffered_span(call, start, stop)


cdef void run_rows(RowCall *call, Py_ssize_t rows, double cost) noexcept nogil:
    """Run a row kernel over `rows` rows, whose way was found; `cost` is in nanoseconds per element."""
    cdef bint single = call.way == WHOLE or call.way == BUFFERED
    if rows > 0 and call.n > 0:
        run_spans(rows_span, call, rows, 1 if single else TOGETHER, rows * call.n * cost)
