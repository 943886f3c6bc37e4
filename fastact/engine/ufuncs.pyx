# cython: language_level=3, cdivision=True
"""The ufuncs and gufuncs: NumPy's inner loops around the engine's drivers, for half, float, double, and for bfloat16 when it is met."""

from libc.stdlib cimport malloc
from libc.string cimport memcmp

cimport numpy as cnp

from cpython.object cimport PyObject

from fastact.engine.blocks cimport BRAIN, DOUBLE, HALF, SINGLE, MapCall, itemsize, map_kernel, run_map, scatter
from fastact.engine.calls cimport is_brain, leading, uniform
from fastact.engine.checks cimport check_casts, check_dtype, wanted_dtype
from fastact.engine.function cimport Function
from fastact.engine.rows cimport RowCall, find_way, row_kernel, run_rows

import numpy as np

cdef extern from "cpu.h" nogil:
    unsigned int fa_save_flags()
    void fa_restore_flags(unsigned int state)

cdef extern from "Python.h":
    void PyErr_SetObject(PyObject *type, PyObject *value)
    void PyErr_SetString(PyObject *type, const char *message)

cnp.import_array()
cnp.import_umath()

cdef enum:
    DTYPES = 3      # half, float, double: in this order half stays half

cdef struct Loop:
    void **found            # the function's kernels: of each role for float, double
    void *function          # the function itself, kept alive below
    int dtype
    int arrays
    int params
    bint has_core[4]        # as the ufunc's operands: inputs, then out
    double empty            # the value of an empty row, for reductions
    double cost


cdef tuple UFUNC_OPTIONS = ("out", "where", "dtype", "casting", "order", "subok", "signature")
_alive = []     # ufuncs hold bare pointers: what they point to lives as long as the process


cdef void *compile_kernel(Loop *loop, int role) noexcept with gil:
    """Have the kernel compiled now; NULL, with the Python error set for NumPy to find, if that fails."""
    try:
        return (<Function>loop.function).kernel(loop.dtype, role)
    except BaseException as error:
        kind = type(error)
        PyErr_SetObject(<PyObject *>kind, <PyObject *>error)
    return NULL


cdef inline void *find_kernel(Loop *loop, int role) noexcept nogil:
    cdef void *kernel = loop.found[2 * role + (loop.dtype == DOUBLE)]
    return kernel if kernel is not NULL else compile_kernel(loop, role)


cdef Py_ssize_t same_params(char **at, const cnp.npy_intp *steps, int params, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """How many elements from `start` on have the same parameters."""
    cdef Py_ssize_t stop
    cdef int k
    cdef bint constant = True
    for k in range(params):
        constant = constant and steps[k] == 0
    if constant:
        return n - start
    for stop in range(start + 1, n):
        for k in range(params):
            if steps[k] and memcmp(at[k] + stop * steps[k], at[k] + start * steps[k], sizeof(double)):
                return stop - start
    return n - start


# NumPy's masked loop hands over its own array of pointers and advances it: `args` is only read.
cdef void map_loop(char **args, const cnp.npy_intp *dims, const cnp.npy_intp *steps, void *data) noexcept nogil:
    cdef Loop *loop = <Loop *>data
    cdef MapCall call
    cdef Py_ssize_t n = dims[0], start = 0, count
    cdef int k, inputs = loop.arrays + loop.params
    cdef unsigned int flags
    call.kernel = <map_kernel>find_kernel(loop, 0)
    if call.kernel is NULL:
        return
    call.dtype = loop.dtype
    call.inputs = loop.arrays
    flags = fa_save_flags()
    while start < n:
        count = same_params(args + loop.arrays, steps + loop.arrays, loop.params, start, n) if loop.params else n
        for k in range(4):
            call.data[k] = NULL
            call.steps[k] = 0
        for k in range(loop.arrays):
            call.data[k + 1] = args[k] + start * steps[k]
            call.steps[k + 1] = steps[k]
        for k in range(loop.params):
            call.params[k] = (<double *>(args[loop.arrays + k] + start * steps[loop.arrays + k]))[0]
        call.data[0] = args[inputs] + start * steps[inputs]
        call.steps[0] = steps[inputs]
        run_map(&call, count, loop.cost)
        start += count
    fa_restore_flags(flags)


cdef void row_loop(char **args, const cnp.npy_intp *dims, const cnp.npy_intp *steps, void *data) noexcept nogil:
    cdef Loop *loop = <Loop *>data
    cdef RowCall call
    cdef Py_ssize_t rows = dims[0]
    cdef int k, at, core = 0
    cdef unsigned int flags
    if dims[1] == 0:
        fill_empty(loop, args[loop.arrays], steps[loop.arrays], rows)
        return
    call.dtype = loop.dtype
    call.operands = loop.arrays + 1
    call.failed = False
    call.n = dims[1]
    for k in range(loop.arrays + 1):
        at = k + 1 if k < loop.arrays else 0
        call.data[at] = args[k]
        call.inner[at] = steps[k]
        call.outer[at] = 0
        call.has_core[at] = loop.has_core[k]
        call.core[at] = 0
        if loop.has_core[k]:
            call.core[at] = steps[loop.arrays + 1 + core]
            core += 1
    call.inner_count = rows
    call.kernel = <row_kernel>find_kernel(loop, find_way(&call, rows))
    if call.kernel is NULL:
        return
    flags = fa_save_flags()
    run_rows(&call, rows, loop.cost)
    fa_restore_flags(flags)
    if call.failed:
        no_memory()


cdef void no_memory() noexcept with gil:
    PyErr_SetString(<PyObject *>MemoryError, "no memory for the buffer of a row")


cdef void fill_empty(Loop *loop, char *out, Py_ssize_t step, Py_ssize_t rows) noexcept nogil:
    """Rows without elements: a reduction gives its empty value."""
    cdef Py_ssize_t i
    cdef float single = <float>loop.empty
    if loop.has_core[loop.arrays]:
        return
    for i in range(rows):
        if loop.dtype == DOUBLE:
            (<double *>(out + i * step))[0] = loop.empty
        else:
            scatter(out + i * step, itemsize(loop.dtype), &single, 1, loop.dtype)


cdef int type_number(int dtype) noexcept nogil:
    return cnp.NPY_DOUBLE if dtype == DOUBLE else (cnp.NPY_FLOAT if dtype == SINGLE else cnp.NPY_FLOAT16)


cdef Loop *make_loops(Function function, void **data, char *types, bint with_params) except NULL:
    """Fill NumPy's tables: a loop a dtype; arrays have that dtype, parameters are doubles, so that the arrays alone decide."""
    cdef int order[DTYPES]
    cdef int params = function.params if with_params else 0
    cdef int k, d, operands = function.arrays + params + 1
    cdef Loop *loops = <Loop *>malloc(DTYPES * sizeof(Loop))
    order[:] = [HALF, SINGLE, DOUBLE]
    for d in range(DTYPES):
        loops[d].found = &function.found[0][0]
        loops[d].function = <void *>function
        loops[d].dtype = order[d]
        loops[d].arrays = function.arrays
        loops[d].params = params
        loops[d].cost = function.cost * (2 if order[d] == DOUBLE else 1)
        loops[d].empty = function.op.empty
        data[d] = &loops[d]
        for k in range(operands):
            is_param = function.arrays <= k < function.arrays + params
            types[d * operands + k] = cnp.NPY_DOUBLE if is_param else type_number(order[d])
    _alive.append(function)
    return loops


cdef int add_bfloat16(Function function, object ufunc, object dtype) except -1:
    """Give a ufunc or gufunc a loop for bfloat16, a dtype that another package registered with NumPy."""
    cdef int params = ufunc.nin - function.arrays, operands = ufunc.nin + 1, k
    cdef int *types = <int *>malloc(operands * sizeof(int))
    cdef Loop *loop = <Loop *>malloc(sizeof(Loop))
    loop.found = &function.found[0][0]
    loop.function = <void *>function
    loop.dtype = BRAIN
    loop.arrays = function.arrays
    loop.params = params
    loop.cost = function.cost
    loop.empty = function.op.empty
    for k in range(operands):
        types[k] = cnp.NPY_DOUBLE if function.arrays <= k < function.arrays + params else dtype.num
    for k, core in enumerate(function.op.cores if function.op.core else ()):
        loop.has_core[k] = core
    cnp.PyUFunc_RegisterLoopForType(ufunc, dtype.num, <cnp.PyUFuncGenericFunction>(row_loop if function.op.core else map_loop), types, loop)
    return 0


cdef object dtype_of(Function function, object ufunc, str argument, object array, object wanted=None):
    """The dtype to compute in, the one wanted or an argument's; bfloat16 gets its loop when it is first met, since no package of ours
    brings it."""
    name = function.__name__
    dtype = check_dtype(name, argument, array) if wanted is None else wanted_dtype(name, wanted)
    if is_brain(dtype) and not function.brain:
        add_bfloat16(function, ufunc, dtype)
        function.brain = dtype.num
    return dtype


cdef bint casts(Function function, object ufunc, tuple given, tuple arrays, dict kwargs) except -1:
    """Whether a call has to cast; it is told the dtype then, the one wanted or that of the argument that decides."""
    if "signature" in kwargs:
        return True
    if "dtype" not in kwargs and uniform(arrays, kwargs.get("out")):
        return False
    first = leading(given)
    wanted, out, own = kwargs.pop("dtype", None), kwargs.get("out"), arrays[first].dtype
    if wanted is None and own.isbuiltin == 2 and not is_brain(own):     # another package's: NumPy knows what it casts to
        return True
    dtype = dtype_of(function, ufunc, function.op.inputs[first], arrays[first], wanted)
    out = out[0] if isinstance(out, tuple) else out
    check_casts(function.__name__, function.op.inputs, arrays, out, dtype, kwargs.get("casting", "same_kind"))
    kwargs["signature"] = (dtype,) * function.arrays + (np.float64,) * (ufunc.nin - function.arrays) + (dtype,)
    return True


cdef object make_ufunc(Function function):
    """The ufunc behind an elementwise function: its arrays, then its parameters, as inputs."""
    cdef int inputs = function.arrays + function.params, d
    cdef cnp.PyUFuncGenericFunction *loops = <cnp.PyUFuncGenericFunction *>malloc(DTYPES * sizeof(void *))
    cdef void **data = <void **>malloc(DTYPES * sizeof(void *))
    cdef char *types = <char *>malloc(DTYPES * (inputs + 1))
    name = function.__name__.encode()
    make_loops(function, data, types, True)
    for d in range(DTYPES):
        loops[d] = <cnp.PyUFuncGenericFunction>map_loop
    _alive.append(name)
    return cnp.PyUFunc_FromFuncAndData(loops, data, types, DTYPES, inputs, 1, cnp.PyUFunc_None, name, "", 0)


cdef object make_gufunc(Function function):
    """The gufunc behind a row function; its own name keeps libraries that dispatch by name from running something else."""
    cdef int d, k
    cdef cnp.PyUFuncGenericFunction *loops = <cnp.PyUFuncGenericFunction *>malloc(DTYPES * sizeof(void *))
    cdef void **data = <void **>malloc(DTYPES * sizeof(void *))
    cdef char *types = <char *>malloc(DTYPES * (function.arrays + 1))
    cdef Loop *filled = make_loops(function, data, types, False)
    name = f"fastact_{function.__name__}".encode()
    signature = function.op.core.encode()
    for d in range(DTYPES):
        loops[d] = <cnp.PyUFuncGenericFunction>row_loop
        for k, core in enumerate(function.op.cores):
            filled[d].has_core[k] = core
    _alive.append((name, signature))
    return cnp.PyUFunc_FromFuncAndDataAndSignature(loops, data, types, DTYPES, function.arrays, 1, cnp.PyUFunc_None, name, "", 0,
                                                   signature)
