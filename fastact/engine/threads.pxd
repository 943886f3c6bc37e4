"""The thread driver's C interface."""

ctypedef void (*span_function)(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil

cdef int team(double nanoseconds) noexcept nogil
cdef void run_spans(span_function function, void *context, Py_ssize_t n, Py_ssize_t grain, double nanoseconds) noexcept nogil
