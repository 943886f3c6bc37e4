# The elementwise loops, and pieces of the row loops; with the pages included below, the only loops of the wing. Each takes its scalar
# as a constant function pointer, which the compiler inlines; `table.pxi`, written by setup.py from the register, names one loop and one
# scalar per operation. Kernels are serial and see contiguous data.

from fastact.cython_kernels.bits cimport bits32, bits64, from32, from64, u32, u64
from fastact.cython_kernels.primitives cimport log1p, real, softmax_exp

cdef extern from "<math.h>":
    const float INFINITY

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) noexcept nogil

cdef extern from "lanes.h" nogil:
    float fa_sum_f(const float *lane)
    double fa_sum_d(const double *lane)
    float fa_top_f(const float *lane)
    double fa_top_d(const double *lane)

cdef enum:
    LANES = 16      # partial sums of a row: element i goes to lane i % 16 ...
    BLOCK = 1024    # ... of its block of 1024, and blocks are added in double: the same bits for every layout and thread count
    ROWS = 8        # contiguous rows that go through a pass together ...
    NEAR = 256      # ... where they have no more elements than this
    COLUMNS = 256   # columns handled together in float32 when the rows stand side by side, half as many in float64, whose lanes fill ...
    MANY = 1024     # ... the nearest cache; narrower pieces of memory are slow to fetch. Bytes of columns from which rows are fetched ahead
    STAGE = 256     # numbers for which a scalar in two stages does the first, before it does the second
    NARROW = 256    # bytes of a row of columns without a gap between them, up to which 16 elements of each are taken at a time ...
    RUN = 1024      # ... in one run
    FEW = 16        # columns of no more elements than this leave each lane with one at most, and are taken ...
    BUNCH = 64      # ... so many at a time
    AHEAD = 2       # rows fetched ahead of columns of more: each is a page or more away, where the hardware does not look


# ---- map: elementwise -------------------------------------------------------------------------------------------------

cdef inline void map1(real *out, const real *a, Py_ssize_t n, real (*f)(real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(a[i])

cdef inline void map1p1(real *out, const real *a, real p, Py_ssize_t n, real (*f)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(a[i], p)

cdef inline void map1p2(real *out, const real *a, real p, real q, Py_ssize_t n,
                        real (*f)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(a[i], p, q)

cdef inline void map2(real *out, const real *a, const real *b, Py_ssize_t n,
                      real (*f)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(a[i], b[i])

cdef inline void map2p1(real *out, const real *a, const real *b, real p, Py_ssize_t n,
                        real (*f)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(a[i], b[i], p)

cdef inline void map2p2(real *out, const real *a, const real *b, real p, real q, Py_ssize_t n,
                        real (*f)(real, real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(a[i], b[i], p, q)

cdef inline void map3(real *out, const real *a, const real *b, const real *c, Py_ssize_t n,
                      real (*f)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(a[i], b[i], c[i])

# A scalar in two stages: the first of a whole block, then the second. The processor holds some 200 instructions, so that a long chain
# of them lets few numbers overlap; two short ones take .7 to .9 of the time, and compute the same.

cdef inline void stages1(real *out, const real *a, Py_ssize_t n,
                         void (*begin)(real, real *, real *) noexcept nogil,
                         real (*end)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real u[STAGE]
    cdef real v[STAGE]
    cdef Py_ssize_t start, i, count
    for start from 0 <= start < n by STAGE:
        count = STAGE if n - start > STAGE else n - start
        for i in range(count):
            begin(a[start + i], &u[i], &v[i])
        for i in range(count):
            out[start + i] = end(a[start + i], u[i], v[i])

cdef inline void stages1p1(real *out, const real *a, real p, Py_ssize_t n,
                           void (*begin)(real, real, real *, real *) noexcept nogil,
                           real (*end)(real, real, real, real) noexcept nogil) noexcept nogil:
    cdef real u[STAGE]
    cdef real v[STAGE]
    cdef Py_ssize_t start, i, count
    for start from 0 <= start < n by STAGE:
        count = STAGE if n - start > STAGE else n - start
        for i in range(count):
            begin(a[start + i], p, &u[i], &v[i])
        for i in range(count):
            out[start + i] = end(a[start + i], p, u[i], v[i])

cdef inline void stages2(real *out, const real *a, const real *b, Py_ssize_t n,
                         void (*begin)(real, real, real *, real *) noexcept nogil,
                         real (*end)(real, real, real, real) noexcept nogil) noexcept nogil:
    cdef real u[STAGE]
    cdef real v[STAGE]
    cdef Py_ssize_t start, i, count
    for start from 0 <= start < n by STAGE:
        count = STAGE if n - start > STAGE else n - start
        for i in range(count):
            begin(a[start + i], b[start + i], &u[i], &v[i])
        for i in range(count):
            out[start + i] = end(a[start + i], b[start + i], u[i], v[i])

cdef inline void stages2p1(real *out, const real *a, const real *b, real p, Py_ssize_t n,
                           void (*begin)(real, real, real, real *, real *) noexcept nogil,
                           real (*end)(real, real, real, real, real) noexcept nogil) noexcept nogil:
    cdef real u[STAGE]
    cdef real v[STAGE]
    cdef Py_ssize_t start, i, count
    for start from 0 <= start < n by STAGE:
        count = STAGE if n - start > STAGE else n - start
        for i in range(count):
            begin(a[start + i], b[start + i], p, &u[i], &v[i])
        for i in range(count):
            out[start + i] = end(a[start + i], b[start + i], p, u[i], v[i])

# A loss's gradient, times the scale that the reduction gives every element.
cdef inline void gradient(real *out, const real *a, const real *b, real scale, Py_ssize_t n,
                          real (*f)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = scale * f(a[i], b[i])

cdef inline void gradientp1(real *out, const real *a, const real *b, real p, real scale, Py_ssize_t n,
                            real (*f)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = scale * f(a[i], b[i], p)


# ---- pieces of the row loops: everything goes through groups of 16 elements held in local arrays ------------------------

cdef inline void fill(real *v, real value) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LANES):
        v[j] = value

cdef inline void load(real *v, const real *x, Py_ssize_t count, real padding) noexcept nogil:
    """Up to 16 elements of `x`; what is missing is `padding`, which the caller chooses so that it adds nothing."""
    cdef int j, some
    if count >= LANES:
        for j in range(LANES):
            v[j] = x[j]
    else:
        some = <int>count
        for j in range(LANES):
            v[j] = x[j] if j < some else padding    # a masked load

cdef inline void store(real *y, const real *v, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t j
    if count >= LANES:
        for j in range(LANES):
            y[j] = v[j]
    else:
        for j in range(count):
            y[j] = v[j]

cdef inline real halve(const real *lane) noexcept nogil:
    """The sum of 16 lanes by halving: the one order of addition of every row loop."""
    if real is float:
        return fa_sum_f(lane)
    else:
        return fa_sum_d(lane)

cdef inline real only_if(bint chosen, real x) noexcept nogil:
    """x or 0, by a mask: of a choice that is added the compiler makes two sums and a choice."""
    if real is float:
        return from32(bits32(x) & (<u32>0 - <u32>chosen))
    else:
        return from64(bits64(x) & (<u64>0 - <u64>chosen))

cdef inline real unless(bint chosen, real x) noexcept nogil:
    """0 or x: the other side of the same comparison."""
    if real is float:
        return from32(bits32(x) & (<u32>chosen - <u32>1))
    else:
        return from64(bits64(x) & (<u64>chosen - <u64>1))

cdef inline double carried(double rest, double total, double value) noexcept nogil:
    """What additions to `total` have lost so far, when `value` is added to it now; `total + rest` is the sum to twice the precision."""
    cdef double after = total + value, added = after - total
    return rest + ((total - (after - added)) + (value - added))

cdef inline double settled(double total, double rest) noexcept nogil:
    """The sum with what was lost; of infinite sums no loss is known."""
    return total + rest if rest == rest else total

cdef inline void raise_top(real *top, const real *v) noexcept nogil:
    """The larger of each pair; a nan in `v` is passed over, it comes back through the exponential."""
    cdef Py_ssize_t j
    for j in range(LANES):
        top[j] = v[j] if v[j] > top[j] else top[j]

cdef inline real row_top(const real *x, Py_ssize_t n) noexcept nogil:
    cdef real top[LANES]
    cdef real v[LANES]
    cdef Py_ssize_t i, j
    fill(top, -INFINITY)
    for i from 0 <= i < n - LANES + 1 by LANES:
        for j in range(LANES):
            top[j] = x[i + j] if x[i + j] > top[j] else top[j]
    if n % LANES:
        load(v, x + n - n % LANES, n % LANES, -INFINITY)
        raise_top(top, v)
    if real is float:
        return fa_top_f(top)
    else:
        return fa_top_d(top)

include "row_loops.pxi"
include "column_loops.pxi"
include "pick_loops.pxi"
include "row_kernels.pxi"
include "loss_loops.pxi"
