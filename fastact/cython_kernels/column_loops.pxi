# The same row loops for rows that stand side by side (element i of row j at i * stride + j): up to 256 columns at a time (128 of
# float64), in groups of 16 columns, with the order of addition of a single row. What is done to a group takes its number of columns,
# as in row_loops.pxi.
# Narrow columns without a gap are taken 16 elements of each at a time, as one run of 16 * width: then no group is partly empty.
# What is missing in their last run is -inf, whose term is 0 (or nan, or a tie, where a whole column is -inf: its results are not finite),
# and 0 where products are summed.
# Columns of `few` elements, no more than lanes, need neither sums of lanes nor of blocks.

cdef inline Py_ssize_t step_of(const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride) noexcept nogil:
    """How many elements of each column are taken at a time."""
    return LANES if width == stride and width * <Py_ssize_t>sizeof(real) <= NARROW and n > FEW else 1

cdef inline Py_ssize_t pitch_of(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """From a column's lane to its next one."""
    return width if step > 1 else (width + LANES - 1) // LANES * LANES

cdef inline Py_ssize_t run(Py_ssize_t left, Py_ssize_t step, Py_ssize_t width) noexcept nogil:
    """The numbers that are taken at a time, where each column has `left` elements left."""
    return step * width if left >= step else left * width

cdef inline void repeat(real *v, Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """What holds for a column, for every element that is taken at a time."""
    cdef Py_ssize_t j
    for j from width <= j < step * width:
        v[j] = v[j - width]

cdef inline Py_ssize_t columns_at_once(const real *x) noexcept nogil:
    """How many columns are taken together."""
    return COLUMNS * <Py_ssize_t>sizeof(float) // <Py_ssize_t>sizeof(real)

cdef inline void fetch(const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride, bint once) noexcept nogil:
    """Begin to load elements far apart: of a later row where rows are many; where they are few, of the next columns, `once` for each array
    and not for all in the same pass, so that memory is never idle."""
    cdef Py_ssize_t g
    x += width if n <= FEW else AHEAD * stride
    cdef bint many = n * <Py_ssize_t>sizeof(real) >= MANY
    for g from 0 <= g < (width if stride > COLUMNS and (many or (n <= FEW and once)) else 0) by 64 // <Py_ssize_t>sizeof(real):
        prefetch(x + g)

cdef inline void raise_tops(real *top, const real *x, Py_ssize_t count) noexcept nogil:
    cdef real v[LANES]
    load(v, x, count, -INFINITY)
    raise_top(top, v)

cdef inline void column_tops(real *top, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                             bint few) noexcept nogil:
    cdef Py_ssize_t i, j, g, some, full, step = 1 if few else step_of(x, n, width, stride)
    for g from 0 <= g < step * width by LANES:
        fill(top + g, -INFINITY)
    for i from 0 <= i < n by step:
        some = run(n - i, step, width)
        full = some - some % LANES
        fetch(x + i * stride, n, width, stride, True)
        for g from 0 <= g < full by LANES:
            raise_tops(top + g, x + i * stride + g, LANES)
        if full < some:
            raise_tops(top + full, x + i * stride + full, some - full)
    for i from width <= i < step * width by width:
        for j in range(width):
            top[j] = top[i + j] if top[i + j] > top[j] else top[j]
    repeat(top, width, step)

cdef inline void clear(real *lanes, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t g
    for g from 0 <= g < count by LANES:
        fill(lanes + g, 0)

cdef inline void fold(real *lanes, Py_ssize_t pitch, Py_ssize_t half, Py_ssize_t used) noexcept nogil:
    """Add lane k + half to lane k, of the lanes that are used: the others would add nothing. What the last group changes beyond lane
    `half - 1` has been added before."""
    cdef Py_ssize_t g, j
    for g from 0 <= g < pitch * (half if half < used - half else used - half) by LANES:
        for j in range(LANES):
            lanes[g + j] += lanes[pitch * half + g + j]

cdef inline void fold_lanes(real *lanes, Py_ssize_t pitch, Py_ssize_t used) noexcept nogil:
    """Add every column's lanes by halving, in the order of `halve`."""
    fold(lanes, pitch, 8, used)
    fold(lanes, pitch, 4, used if used < 8 else 8)
    fold(lanes, pitch, 2, used if used < 4 else 4)
    fold(lanes, pitch, 1, used if used < 2 else 2)

cdef inline void add_lanes(double *total, double *rest, real *lanes, Py_ssize_t width, Py_ssize_t pitch, Py_ssize_t used) noexcept nogil:
    """Add the sum of every column's lanes to its total; `rest`, where given, keeps what is lost."""
    cdef Py_ssize_t j
    fold_lanes(lanes, pitch, used)
    if rest is not NULL:
        for j in range(width):
            rest[j] = carried(rest[j], total[j], lanes[j])
    for j in range(width):
        total[j] += lanes[j]

cdef inline Py_ssize_t lanes_used(Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step) noexcept nogil:
    return stop - start if stop - start < LANES and step == 1 else LANES

cdef inline void add_group(real *lane, const real *v, bint few) noexcept nogil:
    """Add a group to its lanes; of few, it is the first and the last."""
    cdef Py_ssize_t j
    for j in range(LANES):
        lane[j] = v[j] + 0 if few else lane[j] + v[j]


cdef inline void store_column_terms(real *y, const real *x, const real *top, real *lane, Py_ssize_t count, bint few,
                                    real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t j
    load(v, x, count, -INFINITY)
    for j in range(LANES):
        v[j] = term(v[j], top[j])
    add_group(lane, v, few)
    store(y, v, count)

cdef inline void finish_terms(real *y, const real *total, Py_ssize_t count, real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t j
    load(v, y, count, 0)
    for j in range(LANES):
        v[j] = finish(v[j], total[j])
    store(y, v, count)

cdef inline void normalise_together(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                    bint few, real (*term)(real, real) noexcept nogil,
                                    real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real lanes[LANES * COLUMNS]
    cdef real top[RUN]
    cdef double total[COLUMNS]
    cdef double rest[COLUMNS]
    cdef real *lane
    cdef Py_ssize_t start, stop, i, g, j, some, full, step = 1 if few else step_of(x, n, width, stride), pitch = pitch_of(width, step)
    column_tops(top, x, n, width, stride, few)
    for j in range(width):
        total[j] = 0
        rest[j] = 0
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, 0 if few else pitch * lanes_used(start, stop, step))
        for i from start <= i < stop by step:
            lane = lanes + (i % LANES) * pitch
            some = run(stop - i, step, width)
            full = some - some % LANES
            fetch(x + i * stride, n, width, stride, False)
            fetch(y + i * stride, n, width, stride, True)
            for g from 0 <= g < full by LANES:
                store_column_terms(y + i * stride + g, x + i * stride + g, top + g, lane + g, LANES, few, term)
            if full < some:
                store_column_terms(y + i * stride + full, x + i * stride + full, top + full, lane + full, some - full, few, term)
        if few:
            fold_lanes(lanes, pitch, n)
        else:
            add_lanes(total, rest if n > BLOCK else NULL, lanes, width, pitch, lanes_used(start, stop, step))
    for j in range(width):
        top[j] = lanes[j] if few else <real>settled(total[j], rest[j])
    repeat(top, width, step)
    for i from 0 <= i < n by step:
        some = run(n - i, step, width)
        full = some - some % LANES
        fetch(y + i * stride, n, width, stride, False)
        for g from 0 <= g < full by LANES:
            finish_terms(y + i * stride + g, top + g, LANES, finish)
        if full < some:
            finish_terms(y + i * stride + full, top + full, some - full, finish)


cdef inline void add_column_excess(real *y, const real *x, const real *top, real *lane, real *tie, Py_ssize_t count, bint few,
                                   real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real e[LANES]
    cdef real lone[LANES]
    cdef real one[LANES]
    cdef Py_ssize_t j
    cdef bint ties
    load(v, x, count, -INFINITY)
    for j in range(LANES):
        e[j] = term(v[j], top[j])
        ties = v[j] == top[j]
        one[j] = only_if(ties, <real>1)
        lone[j] = unless(ties, e[j])
    add_group(tie, one, False)
    add_group(lane, lone, few)
    if y is not NULL:
        store(y, e, count)

cdef inline void column_excess(real *excess, real *y, const real *top, const real *x, Py_ssize_t n, Py_ssize_t width,
                               Py_ssize_t stride, bint few, real (*term)(real, real) noexcept nogil) noexcept nogil:
    """The sum of each column's terms without one maximum; the terms are stored too where `y` is given."""
    cdef real lanes[LANES * COLUMNS]
    cdef double total[COLUMNS]
    cdef double rest[COLUMNS]
    cdef double tied[COLUMNS]
    cdef real ties[RUN]
    cdef real *lane
    cdef real *to = NULL
    cdef Py_ssize_t start, stop, i, g, j, some, full, step = 1 if few else step_of(x, n, width, stride), pitch = pitch_of(width, step)
    for j in range(width):
        total[j] = 0
        rest[j] = 0
        tied[j] = -1
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, 0 if few else pitch * lanes_used(start, stop, step))
        clear(ties, step * width)
        for i from start <= i < stop by step:
            lane = lanes + (i % LANES) * pitch
            some = run(stop - i, step, width)
            full = some - some % LANES
            if y is not NULL:
                to = y + i * stride
                fetch(to, n, width, stride, True)
            fetch(x + i * stride, n, width, stride, False)
            for g from 0 <= g < full by LANES:
                add_column_excess(to + g if to is not NULL else NULL, x + i * stride + g, top + g, lane + g, ties + g, LANES,
                                  few, term)
            if full < some:
                add_column_excess(to + full if to is not NULL else NULL, x + i * stride + full, top + full, lane + full, ties + full,
                                  some - full, few, term)
        for i from 0 <= i < step * width by width:
            for j in range(width):
                tied[j] += ties[i + j]
        if few:
            fold_lanes(lanes, pitch, n)
        else:
            add_lanes(total, rest if n > BLOCK else NULL, lanes, width, pitch, lanes_used(start, stop, step))
    for j in range(width):
        excess[j] = <real>((lanes[j] if few else settled(total[j], rest[j])) + tied[j])

cdef inline void finish_shifts(real *y, const real *x, const real *top, const real *total, Py_ssize_t count,
                               real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t j
    load(v, x, count, 0)
    for j in range(LANES):
        v[j] = finish(v[j], top[j], total[j])
    store(y, v, count)

cdef inline void shift_together(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                bint few, real (*term)(real, real) noexcept nogil, real (*sum_up)(real, real) noexcept nogil,
                                real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real top[RUN]
    cdef real total[RUN]
    cdef Py_ssize_t i, g, j, some, full, step = 1 if few else step_of(x, n, width, stride)
    column_tops(top, x, n, width, stride, few)
    column_excess(total, <real *>NULL, top, x, n, width, stride, few, term)
    for j in range(width):
        total[j] = sum_up(top[j], total[j])
    repeat(total, width, step)
    for i from 0 <= i < n by step:
        some = run(n - i, step, width)
        full = some - some % LANES
        fetch(x + i * stride, n, width, stride, False)
        fetch(y + i * stride, n, width, stride, True)
        for g from 0 <= g < full by LANES:
            finish_shifts(y + i * stride + g, x + i * stride + g, top + g, total + g, LANES, finish)
        if full < some:
            finish_shifts(y + i * stride + full, x + i * stride + full, top + full, total + full, some - full, finish)

cdef inline void reduce_together(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                 bint few, real (*term)(real, real) noexcept nogil,
                                 real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real top[RUN]
    cdef real excess[COLUMNS]
    cdef Py_ssize_t j
    column_tops(top, x, n, width, stride, few)
    column_excess(excess, <real *>NULL, top, x, n, width, stride, few, term)
    for j in range(width):
        y[j] = finish(top[j], excess[j])


cdef inline void add_column_products(const real *a, const real *b, real *lane, Py_ssize_t count, bint few,
                                     real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t j
    load(v, a, count, 0)
    load(w, b, count, 0)
    for j in range(LANES):
        v[j] = term(v[j], w[j])
    add_group(lane, v, few)

cdef inline void finish_products(real *out, const real *a, const real *b, const real *total, Py_ssize_t count,
                                 real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t j
    load(v, a, count, 0)
    load(w, b, count, 0)
    for j in range(LANES):
        v[j] = finish(v[j], w[j], total[j])
    store(out, v, count)

cdef inline void contract_together(real *out, const real *a, const real *b, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                   bint few, real (*term)(real, real) noexcept nogil,
                                   real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real lanes[LANES * COLUMNS]
    cdef double total[COLUMNS]
    cdef double rest[COLUMNS]
    cdef real sums[RUN]
    cdef real *lane
    cdef Py_ssize_t start, stop, i, g, j, here, some, full, step = 1 if few else step_of(a, n, width, stride), pitch = pitch_of(width, step)
    for j in range(width):
        total[j] = 0
        rest[j] = 0
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, 0 if few else pitch * lanes_used(start, stop, step))
        for i from start <= i < stop by step:
            lane = lanes + (i % LANES) * pitch
            some = run(stop - i, step, width)
            full = some - some % LANES
            here = i * stride + full
            fetch(a + i * stride, n, width, stride, True)
            fetch(b + i * stride, n, width, stride, False)
            for g from 0 <= g < full by LANES:
                add_column_products(a + i * stride + g, b + i * stride + g, lane + g, LANES, few, term)
            if full < some:
                add_column_products(a + here, b + here, lane + full, some - full, few, term)
        if few:
            fold_lanes(lanes, pitch, n)
        else:
            add_lanes(total, rest if n > BLOCK else NULL, lanes, width, pitch, lanes_used(start, stop, step))
    for j in range(width):
        sums[j] = lanes[j] if few else <real>settled(total[j], rest[j])
    repeat(sums, width, step)
    for i from 0 <= i < n by step:
        some = run(n - i, step, width)
        full = some - some % LANES
        fetch(a + i * stride, n, width, stride, False)
        fetch(b + i * stride, n, width, stride, True)
        fetch(out + i * stride, n, width, stride, True)
        for g from 0 <= g < full by LANES:
            here = i * stride + g
            finish_products(out + here, a + here, b + here, sums + g, LANES, finish)
        if full < some:
            here = i * stride + full
            finish_products(out + here, a + here, b + here, sums + full, some - full, finish)

cdef inline void spread_columns(real *out, const real *a, const real *b, const real *c, Py_ssize_t n, Py_ssize_t width,
                                Py_ssize_t stride, real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(width):
            out[i * stride + j] = finish(a[j], b[i * stride + j], c[j])


cdef inline void challenge_rows(real *best, real *at, const real *x, Py_ssize_t first, Py_ssize_t count, Py_ssize_t stride,
                                Py_ssize_t width, bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    """A few rows of up to 16 columns in turn, in registers; `first` is the index of the first of them."""
    cdef real b[LANES]
    cdef real a[LANES]
    cdef Py_ssize_t i
    load(b, best, LANES, 0)
    load(a, at, LANES, 0)
    for i in range(count):
        challenge(b, a, x + i * stride, <real>(first + i), width, takes)
    store(best, b, LANES)
    store(at, a, LANES)

cdef inline void pick_together(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                               bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    cdef real best[COLUMNS]
    cdef real at[COLUMNS]
    cdef Py_ssize_t i, g, j, start, stop, count, full = width - width % LANES
    for g from 0 <= g < width by LANES:
        load(best + g, x + g, width - g, -INFINITY)
    for start from 0 <= start < n by FAR:
        stop = start + FAR if start + FAR < n else n
        for g from 0 <= g < width by LANES:
            fill(at + g, -1 if start else 0)
        for i from (start if start else 1) <= i < stop by LANES:
            count = LANES if stop - i > LANES else stop - i
            for g from 0 <= g < full by LANES:
                challenge_rows(best + g, at + g, x + i * stride + g, i - start, count, stride, LANES, takes)
            if full < width:
                challenge_rows(best + full, at + full, x + i * stride + full, i - start, count, stride, width - full, takes)
        for j in range(width):
            which[j] = start + <Py_ssize_t><int>at[j] if at[j] >= 0 else which[j]
    for j in range(width):
        out[j] = best[j]

cdef inline void place_together(real *out, const real *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width,
                                Py_ssize_t stride, real (*place)(real, bint) noexcept nogil) noexcept nogil:
    cdef real at[COLUMNS]
    cdef real term[COLUMNS]
    cdef Py_ssize_t i, j, start, stop
    for j in range(width):
        term[j] = grad[j]
    for start from 0 <= start < n by FAR:
        stop = start + FAR if start + FAR < n else n
        for j in range(width):
            at[j] = <real><int>(which[j] - start if start <= which[j] < stop else -1)
        for i in range(start, stop):
            for j in range(width):
                out[i * stride + j] = place(term[j], at[j] == <real>(i - start))
