"""PyTorch as a peer: ATen's functions that write to prepared memory, those that Python sees, and autograd."""

import functools

import numpy as np
import peers

from fastact import measure

GUESSES = {
    "approximate": ("none", "tanh"),
    "half_to_float": (False,),
    "ignore_index": (-100,),
    "input_dtype": (None,),  # that of the first tensor
    "input_scale": (1,),
    "is_result": (True, False),
    "keepdim": (False,),
    "reduction": (1,),  # the mean
    "scale": (1,),
    "self_is_result": (True, False),
    "threshold": (20, 0),  # of softplus, of relu
}
"""Values of ATen's arguments that the register does not know."""


class Torch(peers.Library):
    name = "torch"

    def __init__(self):
        import torch

        self.torch, self.aten, self.version = torch, torch.ops.aten, torch.__version__
        self.spaces = {"torch.nn.functional": torch.nn.functional, "torch.special": torch.special, "torch": torch}
        self.spaces["torch._C._nn"] = getattr(torch._C, "_nn", None)  # some take `out` only here

    def set_threads(self, count):
        self.torch.set_num_threads(count)

    def read(self, result):
        if isinstance(result, (tuple, list)):
            return tuple(map(self.read, result))
        if isinstance(result, np.ndarray):
            return result
        result = result.detach()
        if result.dtype == self.torch.bfloat16:
            return result.view(self.torch.int16).numpy().view("bfloat16")
        return result.numpy()

    def tensor(self, array):
        """An array as a tensor in the same memory."""
        if array.dtype.name == "bfloat16":
            return self.torch.from_numpy(array.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(array)

    def tensors(self, arrays):
        return list(map(self.tensor, arrays))

    def ways(self, op, dtype, axis):
        if op.page == "losses" and op.is_backward:
            yield from self.chain_ways(op)
        else:
            yield from self.named_ways(op, axis)
            yield from self.aten_ways(op, axis)
        if op.is_backward:
            yield from self.autograd_ways(op, axis)

    # ---- functions that Python sees ----

    def named_ways(self, op, axis):
        for label, function in peers.lookup(op, self.spaces):
            hows = (peers.IN_PLACE,) if label.endswith("_") else (peers.OUT, peers.IN_PLACE, peers.NEW)
            for more, keywords in peers.spellings(op, axis, "dim"):
                make = functools.partial(self.named, function, more, keywords, not label.endswith("_"))
                yield peers.Way(label, make, hows, context=self.torch.inference_mode)

    def named(self, function, more, keywords, takes_out, arrays, out):
        into = {"out": self.tensor(out)} if out is not None and takes_out else {}
        return functools.partial(function, *self.tensors(arrays), *more, **keywords, **into)

    # ---- ATen, by its schemas ----

    @functools.cached_property
    def packets(self):
        """The names of ATen's functions by squashed name."""
        found = {}
        for name in self.torch._C._dispatch_get_all_op_names():
            space, _, rest = name.partition("::")
            if space == "aten":
                found.setdefault(peers.squash(rest.partition(".")[0]), set()).add(rest.partition(".")[0])
        return {name: sorted(spelled) for name, spelled in found.items()}

    def overloads(self, name):
        """Every overload of ATen's functions of a squashed name."""
        for spelled in self.packets.get(name, ()):
            packet = getattr(self.aten, spelled)
            yield from (getattr(packet, overload) for overload in packet.overloads())

    def fillings(self, overload, op, axis, count):
        """``(bind, output)`` for each choice of values beside `count` tensors: ``bind(*tensors, **{output: tensor})`` is a call."""
        values, options, tensors, outputs = measure.defaults(op.forward or op), {}, [], []
        for argument in overload._schema.arguments:
            name, kind = argument.name, str(argument.type)
            if argument.is_out:
                outputs.append(name)
            elif kind == "Tensor":
                tensors.append(name)
            elif name == "dim":
                options[name] = ([axis] if "List" in kind else axis,)
            elif name in values or name in GUESSES:
                options[name] = (values[name],) if name in values else GUESSES[name]
            elif not argument.has_default_value():
                return
        if len(tensors) == count and len(outputs) <= 1:
            for chosen in peers.products(options):
                yield functools.partial(bind, overload, tensors, chosen), "".join(outputs)

    def aten_ways(self, op, axis):
        """Overloads that write to an output; of backward passes also those that do not, and with the input for our output."""
        for overload in (found for name in peers.names(op) for found in self.overloads(name)):
            for bound, output in self.fillings(overload, op, axis, len(op.inputs)):
                if output or op.is_backward:
                    make = functools.partial(self.by_schema, bound, output)
                    hows = (peers.OUT, peers.IN_PLACE) if output else (peers.NEW,)
                    for reads_x in (False, True)[: 1 + ("y" in op.inputs)]:
                        yield peers.Way(str(overload), make, hows, reads_x, self.torch.inference_mode)

    def by_schema(self, bound, output, arrays, out):
        return bound(*self.tensors(arrays), **({output: self.tensor(out)} if output else {}))

    # ---- gradients ----

    def autograd_ways(self, op, axis):
        """The backward pass of autograd, its graph made beforehand; for a loss both passes, its value and gradient."""
        forward, loss = op.forward, op.page == "losses"
        reads_x = "y" in op.inputs and "x" not in op.inputs
        for label, function in peers.lookup(forward, self.spaces):
            for more, keywords in peers.spellings(forward, axis, "dim"):
                call = functools.partial(peers.follow, function, more, keywords)
                make = functools.partial(self.both_passes if loss else self.backward_pass, op, call)
                yield peers.Way(f"autograd of {label}", make, reads_x=reads_x, context=self.torch.enable_grad)

    def backward_pass(self, op, function, arrays, out):
        given = dict(zip(op.inputs, self.tensors(arrays), strict=True))
        inputs = [given.get(name, given.get("y")) for name in op.forward.inputs]
        with self.torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in inputs]
            result = function(*leaves)
        result = result[0] if isinstance(result, tuple) else result
        made = functools.partial(self.torch.autograd.grad, result, leaves, given["grad"], retain_graph=True)
        return made if len(leaves) > 1 else lambda: made()[0]

    def both_passes(self, op, function, arrays, out):
        pred, target = self.tensors(arrays)
        pred = pred.detach().requires_grad_()

        def call():
            value = function(pred, target)
            return value, self.torch.autograd.grad(value, pred)[0]

        return call

    def chain_ways(self, op):
        """A loss and its gradient by ATen's functions for either, without autograd, into prepared memory."""
        if op.kind == "row_loss":
            yield peers.Way("aten log_softmax, nll_loss and their backward", self.row_chain, context=self.torch.inference_mode)
        name = peers.squash(op.forward.name)
        for first in self.overloads(name):
            for second in self.overloads(f"{name}backward"):
                for value, prepared in self.fillings(first, op, -1, 2):
                    for gradient, into in self.fillings(second, op, -1, 3):
                        if into and not prepared:
                            make = functools.partial(self.chain, value, gradient, into)
                            yield peers.Way(f"{first} and {second}", make, context=self.torch.inference_mode)

    def chain(self, value, gradient, into, arrays, _):
        tensors = self.tensors(arrays)
        one, grad = tensors[0].new_ones(()), self.torch.empty_like(tensors[0])
        first, second = value(*tensors), gradient(one, *tensors, **{into: grad})
        return lambda: (first(), second())

    def row_chain(self, arrays, _):
        aten, (pred, target) = self.aten, self.tensors(arrays)
        one, value, total = (pred.new_ones(()) for _ in range(3))
        logs, sparse, grad = (self.torch.empty_like(pred) for _ in range(3))

        def call():
            aten._log_softmax.out(pred, 1, False, out=logs)
            aten.nll_loss_forward.output(logs, target, None, 1, -100, output=value, total_weight=total)
            aten.nll_loss_backward.grad_input(one, logs, target, None, 1, -100, total, grad_input=sparse)
            return value, aten._log_softmax_backward_data.out(sparse, logs, 1, pred.dtype, out=grad)

        return call


def bind(overload, names, values, *tensors, **outs):
    """A call of an overload, its arguments where its schema wants them."""
    given = {**values, **dict(zip(names, tensors, strict=True)), **outs}
    if "input_dtype" in given:
        given["input_dtype"] = tensors[0].dtype
    positional, keywords = [], {}
    for argument in overload._schema.arguments:
        if argument.kwarg_only:
            keywords.update({argument.name: given[argument.name]} if argument.name in given else {})
        else:
            positional.append(given.get(argument.name, argument.default_value))
    return functools.partial(overload, *positional, **keywords)
