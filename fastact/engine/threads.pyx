# cython: language_level=3, cdivision=True
"""The thread driver: how many threads a call gets, and the only parallel region of the package."""

import os

from cython.parallel cimport prange

cdef int limit = 1            # threads a call may use
cdef bint forked = False      # OpenMP's pool does not survive a fork: children run serially
cdef double WORTH = 60000.0   # nanoseconds of work that pay for waking one more thread, also beside busy neighbours


cdef int team(double nanoseconds) noexcept nogil:
    """The number of threads for a call of so much work."""
    cdef int wanted
    if limit <= 1 or forked or nanoseconds < 2 * WORTH:
        return 1
    wanted = <int>(nanoseconds / WORTH) if nanoseconds < 1000 * WORTH else 1000
    return limit if wanted > limit else wanted


cdef void run_spans(span_function function, void *context, Py_ssize_t n, Py_ssize_t grain, double nanoseconds) noexcept nogil:
    """Call `function` on spans that cover 0..n, each but the last a multiple of `grain`; in parallel where the work is worth it."""
    cdef int threads = team(nanoseconds)
    cdef Py_ssize_t share, t
    if threads > 1:
        share = ((n + threads - 1) // threads + grain - 1) // grain * grain
        threads = <int>((n + share - 1) // share)
    if threads <= 1:
        function(context, 0, n)
        return
    for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
        function(context, t * share, n if (t + 1) * share > n else (t + 1) * share)


def get_limit():
    """Threads a call may use."""
    return limit


def set_limit(int threads):
    """Set the threads a call may use; the caller has checked the number."""
    global limit
    limit = threads


def is_forked():
    """Whether this process is the child of a fork, and so runs serially."""
    return forked


def _after_fork():
    global forked
    forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
