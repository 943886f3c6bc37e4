# cython: language_level=3, cdivision=True
"""The thread driver: how many threads a call gets, and into what pieces it is cut for them. `pool.h` holds the threads."""

cdef extern from "Python.h":
    int PyGILState_Check() noexcept nogil      # helpers may need the interpreter: NumPy holds it in loops of foreign dtypes

cdef extern from "pool.h":
    bint fa_at_hand() noexcept nogil
    void fa_forget() noexcept nogil
    bint fa_share(span_function function, void *context, Py_ssize_t n, Py_ssize_t piece, int team) noexcept nogil

cdef enum:
    PIECES = 16     # for each thread of a call: who begins late, or is slower, leaves more to others
    ASLEEP = 2      # times the work that a call needs, where helpers have to be woken up for it alone

cdef int limit = 1            # threads a call may use
cdef double WORTH = 25000.0   # nanoseconds of work that pay for one more thread: about what it takes to wake it up


cdef int team(double nanoseconds) noexcept nogil:
    """The number of threads for a call of so much work."""
    cdef int wanted
    if limit <= 1 or nanoseconds < 2 * WORTH:
        return 1
    wanted = <int>(nanoseconds / WORTH) if nanoseconds < 1000 * WORTH else 1000
    return limit if wanted > limit else wanted


cdef void run_spans(span_function function, void *context, Py_ssize_t n, Py_ssize_t grain, double nanoseconds) noexcept nogil:
    """Call `function` on spans that cover 0..n, each but the last a multiple of `grain`; in parallel where the work is worth it."""
    cdef int threads = team(nanoseconds)
    cdef Py_ssize_t piece
    if threads > 1 and nanoseconds < 2 * ASLEEP * WORTH and not fa_at_hand():
        threads = 1
    if threads > 1:
        piece = (n + threads * PIECES * grain - 1) // (threads * PIECES * grain) * grain
        if piece < n and not PyGILState_Check() and fa_share(function, context, n, piece, threads):
            return
    function(context, 0, n)


def get_limit():
    """Threads a call may use."""
    return limit


def set_limit(int threads):
    """Set the threads a call may use; the caller has checked the number."""
    global limit
    limit = threads


def forget_helpers():
    """Start others when they are wanted: in the child of a fork, where threads do not live on."""
    fa_forget()
