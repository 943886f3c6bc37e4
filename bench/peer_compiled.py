"""JAX and ONNX Runtime as peers: functions that are compiled, or made into a model, before they are called."""

import functools
import itertools

import numpy as np
import peers

from fastact import measure


class Jax(peers.Library):
    """Jitted functions by name, and where there is none the register's expression; backward by `jax.vjp` of the forward.

    Its arrays cannot be written to, but a jitted call may take over the memory of an argument: that is its way in place.
    """

    name = "jax"
    judged = (peers.NEW,)  # to take over memory changes where a result lies, not what it is
    compiles = True
    enough = True  # names are aliases, and to compile them all takes minutes

    def __init__(self):
        import jax
        import jax.numpy
        import jax.scipy.special

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_cpu_enable_async_dispatch", False)  # else one core passes each call between two threads
        self.jax, self.version, self.shared = jax, jax.__version__, (None, ())
        self.spaces = {"jax.nn": jax.nn, "jax.scipy.special": jax.scipy.special, "jax.numpy": jax.numpy}

    def set_threads(self, count):
        """Decided when JAX starts, by the cores the process may use: nothing can be set here."""

    def read(self, result):
        return tuple(map(np.asarray, result)) if isinstance(result, (tuple, list)) else np.asarray(result)

    def ways(self, op, dtype, axis):
        written = ("jit of the expression", peers.expression(op, self.jax.numpy, axis))
        named = self.gradients(op, axis) if op.is_backward else self.functions(op, axis)
        for label, function in (*named, written):
            yield self.way(op, label, function)

    def functions(self, op, axis):
        for label, function in peers.lookup(op, self.spaces):
            for more, keywords in peers.spellings(op, axis):
                yield f"jit of {label}", functools.partial(peers.follow, function, more, keywords)

    def gradients(self, op, axis):
        """The vector-Jacobian product from the input; passes that read the output alone have their expression."""
        if op.page == "losses":
            yield "jit of value_and_grad", self.jax.value_and_grad(peers.expression(op.forward, self.jax.numpy))
        elif "x" in op.inputs and op.kind != "pick":
            for label, function in self.functions(op.forward, axis):
                yield f"vjp: {label}", functools.partial(self.vjp, op, function)

    def vjp(self, op, function, *arrays):
        given = dict(zip(op.inputs, arrays, strict=True))
        _, pull = self.jax.vjp(function, *(given[name] for name in op.forward.inputs))
        slopes = pull(given["grad"])
        return slopes if len(slopes) > 1 else slopes[0]

    def way(self, op, label, function):
        compiled, donating = self.jax.jit(function), {}

        def make(arrays, place):
            if place is not None and place not in donating:
                donating[place] = self.jax.jit(function, donate_argnums=place)
            return functools.partial(self.call, compiled if place is None else donating[place])

        return peers.Way(label, make, (peers.NEW, peers.IN_PLACE) if peers.one_result(op) else (peers.NEW,))

    def put(self, array):
        return self.jax.block_until_ready(self.jax.numpy.array(array))

    def call(self, function, cell):
        return self.jax.block_until_ready(function(*cell))

    def ready(self, way, how, op, arrays, axis, share=False):
        if not (share and arrays is self.shared[0]):
            self.shared = arrays, list(map(self.put, arrays))
        cell = list(self.shared[1])
        if how == peers.NEW:
            return peers.Ready(functools.partial(way.make(arrays, None), cell))
        place = peers.overwritten(op, arrays, axis)
        original = cell[place]  # a copy of what JAX holds takes half the time of one of ours

        def restore():
            cell[place] = self.put(original)

        restore()
        return peers.Ready(functools.partial(way.make(arrays, place), cell), restore=restore)


class OnnxRuntime(peers.Library):
    """Models of one operator, forward only, bound to memory that is prepared."""

    name = "onnxruntime"
    attributes = ({}, {"alpha": 1 / 6}, {"alpha": 1.0}, {"approximate": "tanh"})

    def __init__(self):
        import onnx
        import onnxruntime

        self.onnx, self.runtime, self.version, self.threads = onnx, onnxruntime, onnxruntime.__version__, 1
        onnxruntime.set_default_logger_severity(4)  # operators that are tried and do not exist
        self.domains = {"": {}, "com.microsoft": {}}
        for schema in onnx.defs.get_all_schemas():
            if not schema.domain:
                self.domains[""][peers.squash(schema.name)] = schema.name

    def set_threads(self, count):
        self.threads = count

    def operators(self, op):
        """``(domain, operator)``; those of ONNX Runtime itself have no list: a name is tried in camel case."""
        for name in (op.name, *op.alias, *peers.NAMES.get(op.name, ())):
            if peers.squash(name) in self.domains[""]:
                yield "", self.domains[""][peers.squash(name)]
            yield "com.microsoft", name.title().replace("_", "")

    def ways(self, op, dtype, axis):
        if op.is_backward or op.kind == "pick":
            return
        for domain, operator in self.operators(op):
            for attributes, constants in self.settings(op, axis):
                model = self.model(op, dtype, domain, operator, attributes, constants)
                session = functools.cache(functools.partial(self.session, model))
                make = functools.partial(self.bound, op, session, axis)
                hows = (peers.OUT, peers.IN_PLACE) if peers.one_result(op) else (peers.NEW,)
                yield peers.Way(f"{domain or 'onnx'} {operator}", make, hows)

    def settings(self, op, axis):
        """Attributes of the operator, and inputs that are constants: parameters, or the axis of a reduction."""
        if op.loop == "reduce":
            yield {"keepdims": 0}, {"axes": np.array([axis])}
        elif op.kind == "rows":
            yield {"axis": axis}, {}
        else:
            yield from ((attributes, {}) for attributes in self.attributes)
            if op.params:
                yield {}, measure.defaults(op)

    def model(self, op, dtype, domain, operator, attributes, constants):
        helper, kind = self.onnx.helper, self.onnx.helper.np_dtype_to_tensor_dtype
        kinds = [np.dtype(np.int64) if op.kind == "row_loss" and name == "target" else dtype for name in op.inputs]
        fixed = [self.onnx.numpy_helper.from_array(np.asarray(v, None if np.ndim(v) else dtype), name) for name, v in constants.items()]
        node = helper.make_node(operator, [*op.inputs, *constants], ["result"], domain=domain, **attributes)
        inputs = [helper.make_tensor_value_info(name, kind(one), None) for name, one in zip(op.inputs, kinds, strict=True)]
        graph = helper.make_graph([node], "one", inputs, [helper.make_tensor_value_info("result", kind(dtype), None)], fixed)
        opsets = [helper.make_opsetid("", self.newest), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()

    @functools.cached_property
    def newest(self):
        """The newest set of operators that both packages know."""
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        one = [helper.make_tensor_value_info(name, kind, [1]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "one", one[:1], one[1:])
        for version in itertools.count(self.onnx.defs.onnx_opset_version(), -1):
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=10)
            try:
                self.runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            except Exception:  # too new for the runtime
                continue
            return version

    def session(self, model, threads):
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        return self.runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def bound(self, op, session, axis, arrays, out):
        """A run with inputs and output bound to the arrays' own memory."""
        made = session(self.threads)
        shape = () if out is None else out.shape
        result = np.empty(shape, arrays[0].dtype) if out is None else out
        binding = made.io_binding()
        for name, array in zip(op.inputs, arrays, strict=True):
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        binding.bind_output("result", "cpu", 0, result.dtype, shape, result.ctypes.data)

        def call(keep=arrays):
            made.run_with_iobinding(binding)
            return result

        return call
