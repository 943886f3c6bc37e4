# cython: language_level=3
"""The base of every public callable: its kernels, its parameters and their rules, and what help, editors and pickle see of it."""

from cpython.object cimport PyObject

from fastact.engine.blocks cimport DOUBLE, MAX_PARAMS
from fastact.engine.calls cimport inherit_doc, install_vectorcall

import numpy as np


cdef tuple SIGNS = ("<", "<=", ">", ">=")


cdef bint holds(int sign, double value, double bound) noexcept:
    if sign == 0:
        return value < bound
    if sign == 1:
        return value <= bound
    return value > bound if sign == 2 else value >= bound


def _restore(namespace, name):
    """Find a function of a backend's namespace again: pickle's way back."""
    import fastact

    backend, level = namespace
    return getattr(fastact.get_backend(backend, level=level), name)


cdef class Function:
    """A function of fastact: forward or backward pass, row function, gate or loss, on NumPy arrays.

    Attributes
    ----------
    op : Op
        The register's entry: parameters, what the backward pass reads, promised error, source.
    ufunc : numpy.ufunc
        The ufunc or gufunc behind an elementwise or row function.
    backend : str
        The backend that computes, and its level: ``"cython v3"``.
    """

    def __cinit__(self, op, *args, **kwargs):
        cdef int k
        if len(op.params) >= MAX_PARAMS:    # the last place is a loss's scale
            raise TypeError(f"{op.name} has {len(op.params)} parameters; the engine passes at most {MAX_PARAMS - 1}")
        self.op = op
        self.arrays = len(op.inputs)
        self.params = len(op.params)
        self.param_names = tuple(p.name for p in op.params)
        self.cost = op.cost
        self.bound_count = len(op.rules)
        for k, rule in enumerate(op.rules):
            self.bounds[k].param = self.param_names.index(rule.param)
            self.bounds[k].sign = SIGNS.index(rule.sign)
            self.bounds[k].other = self.param_names.index(rule.bound) if isinstance(rule.bound, str) else -1
            self.bounds[k].number = 0 if isinstance(rule.bound, str) else rule.bound
        self.required = 0
        for k, p in enumerate(op.params):
            if isinstance(p.default, (int, float)):
                self.defaults[k] = p.default
            else:
                self.required = k + 1

    def __init__(self, op, name, namespace=None):
        self.__name__ = name
        self._namespace = namespace

    def use(self, str backend, kernels):
        """Compute with another backend from now on: `kernels(op, role, dtype)` gives the address of a kernel."""
        self.backend = backend
        self._kernels = kernels
        self.found = [[NULL, NULL], [NULL, NULL]]

    cdef void *kernel(self, int dtype, int role=0) except NULL:
        """The kernel for a dtype and the number of a role; compiled, where that is still to be done, at this first use."""
        cdef int wide = dtype == DOUBLE
        cdef void *found = self.found[role][wide]
        if found is NULL:
            source = self._kernels
            found = <void *><size_t>source(self.op, self.op.roles[role], "float64" if wide else "float32")
            if source is self._kernels:     # another thread may have set another backend meanwhile
                self.found[role][wide] = found
        return found

    # ---- parameters ----

    cdef int check(self, const double *values) except -1:
        """Raise ValueError for parameters that break a rule of the register."""
        cdef int k
        cdef double value, bound
        for k in range(self.bound_count):
            value = values[self.bounds[k].param]
            bound = values[self.bounds[k].other] if self.bounds[k].other >= 0 else self.bounds[k].number
            if not holds(self.bounds[k].sign, value, bound):
                rule = self.op.rules[k]
                instead = f"; use {self.op.instead}" if self.op.instead else ""
                beside = f" and {rule.bound}={bound:g}" if self.bounds[k].other >= 0 else ""
                raise ValueError(f"{self.__name__}: {rule.param}={value:g}{beside}, but {rule.text} is required{instead}")
        return 0

    cdef list bind(self, tuple args, dict kwargs):
        """The parameters of a call, by position or taken out of `kwargs`, defaults filled in; checks the count of arrays too."""
        cdef int k, given = len(args) - self.arrays
        if given < 0:
            missing = self.op.inputs[len(args):]
            how = f"takes {', '.join(missing)} by position" if any(name in kwargs for name in missing) else \
                f"misses its argument {', '.join(missing)}"
            raise TypeError(f"{self.__name__}() {how}")
        if given > self.params:
            most = self.arrays + self.params + len(self.op.options)
            raise TypeError(f"{self.__name__}() takes {most} positional arguments but {len(args)} were given"
                            f"{' (out= is given by keyword)' if len(args) == most + 1 else ''}")
        values = list(args[self.arrays:])
        for k in range(given):
            if self.param_names[k] in kwargs:
                raise TypeError(f"{self.__name__}() got multiple values for argument {self.param_names[k]!r}")
        for k in range(given, self.params):
            if self.param_names[k] in kwargs:
                values.append(kwargs.pop(self.param_names[k]))
            elif k < self.required:
                raise TypeError(f"{self.__name__}() misses its parameter {self.param_names[k]}")
            else:
                values.append(self.defaults[k])
        return values

    cdef int numbers(self, list values, double *into) except -1:
        """Check scalar parameters and convert them; 0 where one is an array, which is checked element by element."""
        cdef int k
        cdef bint scalar = True
        for k, value in enumerate(values):
            if isinstance(value, (bool, int, float, np.number)) and not isinstance(value, np.complexfloating):
                into[k] = value
            elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
                scalar = False
            else:
                raise TypeError(f"{self.__name__}: {self.param_names[k]}={value!r}; a real number or an array of them is required")
        if scalar:
            self.check(into)
            return 1
        arrays = [np.asarray(v, dtype=np.float64) for v in values]
        given = dict(zip(self.param_names, arrays))
        if all(np.all(rule.holds(given)) for rule in self.op.rules):
            return 0
        for each in np.broadcast(*arrays):      # to name the first that breaks a rule
            for k in range(self.params):
                into[k] = each[k]
            self.check(into)
        return 0

    # ---- introspection ----

    @property
    def __module__(self):
        return "fastact"

    @property
    def __qualname__(self):
        return self.__name__

    @property
    def __doc__(self):
        from fastact.docstrings import docstring

        return docstring(self.op, self.__name__)

    @property
    def __signature__(self):
        from fastact.docstrings import signature

        return signature(self.op)

    def __repr__(self):
        from fastact.docstrings import signature

        return f"<fastact.Function {self.__name__}{signature(self.op)}, backend {self.backend}>"

    def __reduce__(self):
        if self._namespace is None:
            return self.__name__
        return _restore, (self._namespace, self.__name__)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


cdef Function _probe = Function.__new__(Function, type("", (), {"params": (), "inputs": (), "cost": 0.0, "rules": ()}))


cdef int call_directly(type cls) except -1:
    """Let Python call the instances of a subclass through `call`."""
    install_vectorcall(cls, <char *>&_probe.call - <char *><PyObject *>_probe)
    inherit_doc(cls)
    return 0
