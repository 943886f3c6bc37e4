"""The thread driver's C interface, and from how much work on calls are shared out."""

cdef enum:
    KEEP_GIL = 2000     # nanoseconds of work below which giving up the interpreter lock costs more than it frees
    GRAIN = 1024        # threads split calls on single elements at multiples of this, whole cache lines

ctypedef void (*span_function)(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil

cdef int team(double nanoseconds) noexcept nogil
cdef void run_spans(span_function function, void *context, Py_ssize_t n, Py_ssize_t grain, double nanoseconds) noexcept nogil
