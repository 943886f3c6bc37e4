# The choice of a maximum in short rows that follow one another: 16 rows are turned, four columns at a time, so that a vector holds one
# element of many rows.

cdef extern from "../engine/transpose.h" nogil:
    void fa_turn_f(float *to, const float *source, Py_ssize_t step)
    void fa_turn_d(double *to, const double *source, Py_ssize_t step)
    void fa_spot_f(float *out, float hit, float miss, Py_ssize_t at)
    void fa_spot_d(double *out, double hit, double miss, Py_ssize_t at)

cdef enum:
    TILE = 4        # columns turned at a time
    SHORT = 64      # rows of fewer elements are turned

cdef inline void turn(real *to, const real *x, Py_ssize_t step) noexcept nogil:
    """Column c of 16 rows, for each of four: to `to[c * 16]`."""
    if real is float:
        fa_turn_f(to, x, step)
    else:
        fa_turn_d(to, x, step)

cdef inline void spot(real *out, real hit, real miss, Py_ssize_t at) noexcept nogil:
    """Four elements: `hit` is the one at `at`, the others are `miss`."""
    if real is float:
        fa_spot_f(out, hit, miss, at)
    else:
        fa_spot_d(out, hit, miss, at)

cdef inline void pick_group(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n,
                            bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    """Of 16 rows. Four elements of each are read at least; the last tile ends with the row, and may see columns again."""
    cdef real tile[TILE * LANES]
    cdef real best[LANES]
    cdef real at[LANES]
    cdef Py_ssize_t c, k, first
    turn(tile, x, n)
    load(best, tile, LANES, 0)
    fill(at, 0)
    if n < TILE:
        for k in range(1, n):
            challenge(best, at, tile + k * LANES, <real>k, LANES, takes)
    else:
        challenge(best, at, tile + LANES, 1, LANES, takes)
        challenge(best, at, tile + 2 * LANES, 2, LANES, takes)
        challenge(best, at, tile + 3 * LANES, 3, LANES, takes)
    for c from TILE <= c < n by TILE:
        first = c if n - c >= TILE else n - TILE
        turn(tile, x + first, n)
        challenge(best, at, tile, <real>first, LANES, takes)
        challenge(best, at, tile + LANES, <real>(first + 1), LANES, takes)
        challenge(best, at, tile + 2 * LANES, <real>(first + 2), LANES, takes)
        challenge(best, at, tile + 3 * LANES, <real>(first + 3), LANES, takes)
    store(out, best, LANES)
    for k in range(LANES):
        which[k] = <Py_ssize_t><int>at[k]

cdef inline void pick_short(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n, Py_ssize_t width,
                            bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    """The last rows, fewer than 16 or with nothing behind them to be read, are copied to where they are 16."""
    cdef real rows[LANES * SHORT]
    cdef real best[LANES]
    cdef Py_ssize_t at[LANES]
    cdef Py_ssize_t g = 0, j, count
    while g + LANES <= width and (g + LANES - 1) * n + TILE <= width * n:
        if n == TILE:   # a constant, with which all addresses are, and nothing else is left
            pick_group(out + g, which + g, x + g * TILE, TILE, takes)
        else:
            pick_group(out + g, which + g, x + g * n, n, takes)
        g += LANES
    while g < width:
        count = LANES if width - g > LANES else width - g
        for j in range(LANES * n if n > TILE else LANES * TILE):
            rows[j] = x[g * n + j] if j < count * n else 0
        pick_group(best, at, rows, n, takes)
        for j in range(count):
            out[g + j] = best[j]
            which[g + j] = at[j]
        g += LANES

cdef inline void place_short(real *out, const real *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width,
                             real (*place)(real, bint) noexcept nogil) noexcept nogil:
    """Rows of up to four elements: each is written as four, of which the next row takes over what is too much."""
    cdef Py_ssize_t j, i, whole = (width * n - TILE) // n + 1 if width * n >= TILE else 0
    for j in range(whole):
        spot(out + j * n, place(grad[j], True), place(grad[j], False), which[j])
    for j in range(whole, width):
        for i in range(n):
            out[j * n + i] = place(grad[j], which[j] == i)
