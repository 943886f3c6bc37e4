"""Wing 1 as kernels: the reference functions behind C pointers, so that the engine runs them like those of the other wings."""

import ctypes

import numpy as np

from fastact.register import OPS

POINTER, SIZE = ctypes.c_void_p, ctypes.c_ssize_t
_alive: dict[tuple[str, str, str], object] = {}


def view(address, dtype, n):
    """The n numbers at an address."""
    size = n * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype) if n else np.empty(0, dtype)


def grid(address, dtype, n, width, stride):
    """`width` rows of n elements that stand side by side, or with stride 1 follow one another, as an array of shape (n, width)."""
    if stride == 1 < width:
        return view(address, dtype, width * n).reshape(width, n).T
    flat = view(address, dtype, (n - 1) * stride + width)
    size = flat.itemsize
    return np.lib.stride_tricks.as_strided(flat, (n, width), (stride * size, size))


def silent(function):
    """Numbers that overflow or are no numbers are results here, not events."""

    def call(*args):
        with np.errstate(all="ignore"):
            return function(*args)

    return call


def map_kernel(op, dtype, scaled=False, pick=None):
    """An elementwise reference; `scaled`: times the last parameter; `pick`: which of several results."""
    count, inputs = len(op.params), len(op.inputs)

    @silent
    def kernel(out, a, b, c, p, n):
        arrays = [view(address, dtype, n) for address in (a, b, c)[:inputs] if address]
        arrays += [np.zeros(n, dtype)] * (inputs - len(arrays))
        params = view(p, dtype, count + scaled) if count + scaled else []
        result = op.reference(*arrays, *params[:count])
        result = result if pick is None else result[pick]
        view(out, dtype, n)[...] = result * params[-1] if scaled else result

    return ctypes.CFUNCTYPE(None, POINTER, POINTER, POINTER, POINTER, POINTER, SIZE)(kernel)


def row_kernel(op, dtype):
    cores = op.cores

    @silent
    def kernel(out, a, b, c, n, width, stride):
        def operand(address, core):
            return grid(address, dtype, n, width, stride) if core else view(address, dtype, width)

        arrays = [operand(address, core) for address, core in zip((a, b, c), cores[:-1], strict=False)]
        operand(out, cores[-1])[...] = op.reference(*arrays, axis=0)

    return ctypes.CFUNCTYPE(None, POINTER, POINTER, POINTER, POINTER, SIZE, SIZE, SIZE)(kernel)


def pick_kernel(op, dtype):
    @silent
    def pick(out, which, x, n, width, stride):
        view(out, dtype, width)[...], view(which, np.intp, width)[...] = op.reference(grid(x, dtype, n, width, stride), axis=0)

    @silent
    def place(out, grad, which, n, width, stride):
        result = op.reference(view(grad, dtype, width), view(which, np.intp, width), n, axis=0)
        grid(out, dtype, n, width, stride)[...] = result

    return ctypes.CFUNCTYPE(None, POINTER, POINTER, POINTER, SIZE, SIZE, SIZE)(place if op.is_backward else pick)


def row_loss_kernel(op, dtype):
    forward = op.forward or op
    number = ctypes.c_double if dtype == "float64" else ctypes.c_float
    logsumexp, softmax = OPS["logsumexp"].reference, OPS["softmax"].reference

    @silent
    def kernel(values, grad, x, t, labels, at_label, z_loss, scale, n, width, stride):
        x = grid(x, dtype, n, width, stride).T.copy("C")    # whole rows, which NumPy adds up in one order whatever the layout
        weights = grid(t, dtype, n, width, stride).T.copy("C") if t else np.zeros((width, n), dtype)
        if labels:
            weights[np.arange(width), view(labels, np.intp, width)] += view(at_label, np.float64, width).astype(dtype)
        lse = logsumexp(x, axis=-1)
        if grad:
            slope = forward.backward_op.reference(x, weights)
            if z_loss:
                slope = slope + 2 * z_loss * lse[:, None] * softmax(x, axis=-1)
            grid(grad, dtype, n, width, stride)[...] = (number(scale).value * slope).T
        view(values, np.float64, width)[...] = forward.reference(x, weights) + (z_loss * lse * lse if z_loss else 0)

    real = ctypes.c_double
    return ctypes.CFUNCTYPE(None, *[POINTER] * 6, real, real, SIZE, SIZE, SIZE)(kernel)


def build(op, role, dtype):
    if op.kind == "loss":
        return map_kernel(op, dtype, scaled=op.is_backward)
    if op.kind == "channels":
        return map_kernel(op, dtype, pick=(1 if role == "weight" else 0) if op.is_backward else None)
    makers = {"map": map_kernel, "rows": row_kernel, "pick": pick_kernel, "row_loss": row_loss_kernel}
    return makers[op.kind](op, dtype)


def kernel(op, role, dtype):
    """The address of a kernel that evaluates the reference."""
    key = op.name, role, dtype
    if key not in _alive:
        _alive[key] = build(op, role, dtype)
    return ctypes.cast(_alive[key], ctypes.c_void_p).value
