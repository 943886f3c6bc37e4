# Written by tools/generate.py from the register: do not edit.
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastact.register import Op

__version__: str
__all__: list[str]
ops: Mapping[str, Op]

class Function:
    op: Op
    backend: str
    __name__: str

def get_backend(name: str | None = None, *, level: str | None = None) -> SimpleNamespace: ...
def set_backend(name: str, *, level: str | None = None) -> None: ...
def backend(name: str, *, level: str | None = None) -> AbstractContextManager[None]: ...
def warm_up(names: str | Iterable[str] | None = None, *, dtypes: DTypeLike | Iterable[DTypeLike] = ...) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def threads(count: int) -> AbstractContextManager[None]: ...
def show_config() -> None: ...

class _relu(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

relu: _relu
class _relu_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

relu_backward: _relu_backward
class _leaky_relu(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, negative_slope: float | NDArray[Any] = 0.01, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

leaky_relu: _leaky_relu
class _leaky_relu_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, negative_slope: float | NDArray[Any] = 0.01, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

leaky_relu_backward: _leaky_relu_backward
class _hard_sigmoid(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

hard_sigmoid: _hard_sigmoid
class _hard_sigmoid_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

hard_sigmoid_backward: _hard_sigmoid_backward
class _hard_tanh(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, min_val: float | NDArray[Any] = -1.0, max_val: float | NDArray[Any] = 1.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

hard_tanh: _hard_tanh
class _hard_tanh_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, min_val: float | NDArray[Any] = -1.0, max_val: float | NDArray[Any] = 1.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

hard_tanh_backward: _hard_tanh_backward
class _softsign(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

softsign: _softsign
class _softsign_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

softsign_backward: _softsign_backward
class _hard_swish(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

hard_swish: _hard_swish
hard_silu: _hard_swish
class _hard_swish_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

hard_swish_backward: _hard_swish_backward
class _step(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, threshold: float | NDArray[Any] = 0.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

step: _step
class _step_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, x: ArrayLike, /, threshold: float | NDArray[Any] = 0.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

step_backward: _step_backward
class _elu(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, alpha: float | NDArray[Any] = 1.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

elu: _elu
class _elu_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, alpha: float | NDArray[Any] = 1.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

elu_backward: _elu_backward
class _selu(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

selu: _selu
class _selu_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

selu_backward: _selu_backward
class _sigmoid(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

sigmoid: _sigmoid
expit: _sigmoid
class _sigmoid_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

sigmoid_backward: _sigmoid_backward
class _log_sigmoid(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

log_sigmoid: _log_sigmoid
log_expit: _log_sigmoid
class _log_sigmoid_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

log_sigmoid_backward: _log_sigmoid_backward
class _tanh(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

tanh: _tanh
class _tanh_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

tanh_backward: _tanh_backward
class _softplus(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, beta: float | NDArray[Any] = 1.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

softplus: _softplus
class _softplus_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, beta: float | NDArray[Any] = 1.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

softplus_backward: _softplus_backward
class _silu(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, beta: float | NDArray[Any] = 1.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

silu: _silu
swish: _silu
class _silu_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, x: ArrayLike, /, beta: float | NDArray[Any] = 1.0, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

silu_backward: _silu_backward
class _gelu(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

gelu: _gelu
class _gelu_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

gelu_backward: _gelu_backward
class _gelu_tanh(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

gelu_tanh: _gelu_tanh
class _gelu_tanh_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

gelu_tanh_backward: _gelu_tanh_backward
class _mish(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

mish: _mish
class _mish_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, x: ArrayLike, /, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

mish_backward: _mish_backward
class _softmax(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, axis: int | tuple[int, ...] | None = -1, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

softmax: _softmax
class _softmax_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, axis: int | tuple[int, ...] | None = -1, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

softmax_backward: _softmax_backward
class _log_softmax(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, axis: int | tuple[int, ...] | None = -1, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

log_softmax: _log_softmax
class _log_softmax_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, y: ArrayLike, /, axis: int | tuple[int, ...] | None = -1, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

log_softmax_backward: _log_softmax_backward
class _logsumexp(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, /, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

logsumexp: _logsumexp
class _logsumexp_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, x: ArrayLike, y: ArrayLike, /, axis: int | tuple[int, ...] | None = None, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

logsumexp_backward: _logsumexp_backward
class _prelu(Function):
    ufunc: np.ufunc
    def __call__(self, x: ArrayLike, weight: ArrayLike, /, axis: int = 1, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> NDArray[Any]: ...

prelu: _prelu
class _prelu_backward(Function):
    ufunc: np.ufunc
    def __call__(self, grad: ArrayLike, x: ArrayLike, weight: ArrayLike, /, axis: int = 1, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None, where: ArrayLike = True, dtype: DTypeLike | None = None, casting: str = "same_kind", order: str = "K") -> tuple[NDArray[Any], NDArray[Any]]: ...

prelu_backward: _prelu_backward
class _maxout(Function):
    def __call__(self, x: ArrayLike, /, axis: int = -1, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None) -> tuple[NDArray[Any], NDArray[np.intp]]: ...

maxout: _maxout
class _maxout_backward(Function):
    def __call__(self, grad: ArrayLike, which: ArrayLike, /, pieces: float | NDArray[Any], axis: int = -1, *, out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None) -> NDArray[Any]: ...

maxout_backward: _maxout_backward
class _mse_loss(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, reduction: Literal["mean", "sum", "none"] = "mean") -> Any: ...

mse_loss: _mse_loss
class _mse_loss_value_and_grad(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, reduction: Literal["mean", "sum", "none"] = "mean", out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None) -> tuple[Any, NDArray[Any]]: ...

mse_loss_value_and_grad: _mse_loss_value_and_grad
class _smooth_l1_loss(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, beta: float = 1.0, reduction: Literal["mean", "sum", "none"] = "mean") -> Any: ...

smooth_l1_loss: _smooth_l1_loss
class _smooth_l1_loss_value_and_grad(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, beta: float = 1.0, reduction: Literal["mean", "sum", "none"] = "mean", out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None) -> tuple[Any, NDArray[Any]]: ...

smooth_l1_loss_value_and_grad: _smooth_l1_loss_value_and_grad
class _hinge_loss(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, margin: float = 1.0, reduction: Literal["mean", "sum", "none"] = "mean") -> Any: ...

hinge_loss: _hinge_loss
class _hinge_loss_value_and_grad(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, margin: float = 1.0, reduction: Literal["mean", "sum", "none"] = "mean", out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None) -> tuple[Any, NDArray[Any]]: ...

hinge_loss_value_and_grad: _hinge_loss_value_and_grad
class _binary_cross_entropy_with_logits(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, reduction: Literal["mean", "sum", "none"] = "mean") -> Any: ...

binary_cross_entropy_with_logits: _binary_cross_entropy_with_logits
class _binary_cross_entropy_with_logits_value_and_grad(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, reduction: Literal["mean", "sum", "none"] = "mean", out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None) -> tuple[Any, NDArray[Any]]: ...

binary_cross_entropy_with_logits_value_and_grad: _binary_cross_entropy_with_logits_value_and_grad
class _cross_entropy(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, axis: int = -1, weight: ArrayLike | None = None, ignore_index: int = -100, label_smoothing: float = 0.0, z_loss: float = 0.0, reduction: Literal["mean", "sum", "none"] = "mean") -> Any: ...

cross_entropy: _cross_entropy
class _cross_entropy_value_and_grad(Function):
    def __call__(self, pred: ArrayLike, target: ArrayLike, /, *, axis: int = -1, weight: ArrayLike | None = None, ignore_index: int = -100, label_smoothing: float = 0.0, z_loss: float = 0.0, reduction: Literal["mean", "sum", "none"] = "mean", out: NDArray[Any] | tuple[NDArray[Any], ...] | None = None) -> tuple[Any, NDArray[Any]]: ...

cross_entropy_value_and_grad: _cross_entropy_value_and_grad
