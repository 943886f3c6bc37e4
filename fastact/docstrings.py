"""How functions present themselves: signatures and docstrings, made from the register and the reference when first asked for."""

import inspect

from fastact.register import REQUIRED

POSITIONAL, BOTH, KEYWORD = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
UFUNC_OPTIONS = (("out", None), ("where", True), ("dtype", None), ("casting", "same_kind"), ("order", "K"))
ROW_LOSS_OPTIONS = (
    ("axis", -1, "int", "The axis of classes."),
    ("weight", None, "array_like", "One weight per class."),
    ("ignore_index", -100, "int", "Rows with this label cost nothing and get gradient 0; of no matter to dense targets."),
    ("label_smoothing", 0.0, "float", "Share of the target spread over all classes, 0 to 1."),
    ("z_loss", 0.0, "float", "Weight of the squared logarithm of the normaliser, >= 0."),
)
MEANING = {
    "x": "The input.",
    "y": "The output of the forward pass, saved.",
    "grad": "The gradient of the loss by the output.",
    "weight": "The slope of the negative side: one number, or one per channel along `axis`.",
    "which": "The indices that the forward pass gave.",
    "pred": "The predictions.",
    "target": "The targets, of the shape of `pred`.",
}


def keywords(op):
    """The keyword-only arguments of a public function, as ``(name, default)``."""
    out = (("out", None),) if op.is_backward else ()
    if op.kind == "loss":
        return (("reduction", "mean"), *out)
    if op.kind == "row_loss":
        return (*(option[:2] for option in ROW_LOSS_OPTIONS), ("reduction", "mean"), *out)
    if op.kind == "pick":
        return (("out", None),)
    return tuple(option for option in UFUNC_OPTIONS if op.kind != "rows" or option[0] != "where")


def signature(op):
    """The signature of the public function of an operation."""
    inputs = [inspect.Parameter(name, POSITIONAL) for name in op.inputs]
    kind = KEYWORD if op.page == "losses" else BOTH
    params = [inspect.Parameter(p.name, kind, default=inspect.Parameter.empty if p.default is REQUIRED else p.default) for p in op.params]
    options = [inspect.Parameter(name, BOTH, default=value) for name, value in op.options.items()]
    last = [inspect.Parameter(name, KEYWORD, default=value) for name, value in keywords(op)]
    return inspect.Signature([*inputs, *params, *options, *last])


def split_example(op):
    """The text of the reference's docstring, and its example."""
    text = inspect.cleandoc(op.reference.__doc__ or "")
    head, mark, example = text.partition(">>>")
    return head.strip(), (mark + example).strip()


def _parameters(op):
    lines = []
    for name in op.inputs:
        meaning = MEANING[name]
        if op.kind == "row_loss" and name == "target":
            meaning = "Integer labels, of the shape of `pred` without `axis`; or dense floating weights, of the shape of `pred`."
        lines += [f"{name} : array_like", f"    {meaning}"]
    for param in op.params:
        rules = [rule.text for rule in op.rules if rule.param == param.name]
        if op.kind == "pick":
            lines += [f"{param.name} : int", "    How many pieces there are, at least 1."]
            continue
        kind = "float" if op.page == "losses" else "float, or an array that broadcasts"
        default = "" if param.default is REQUIRED else f", default {param.default}"
        lines += [f"{param.name} : {kind}{default}", f"    {'Required: ' + ', '.join(rules) + '.' if rules else 'Any number.'}"]
    if "axis" in op.options:
        several = op.kind == "rows"
        kinds = "int, tuple of int or None" if several else "int"
        lines.append(f"axis : {kinds}, default {op.options['axis']}")
        lines.append(f"    The axis of {'rows' if several else 'channels or pieces'}.")
    if "keepdims" in op.options:
        lines += ["keepdims : bool, default False", "    Keep the reduced axes with length 1."]
    return lines + _keyword_parameters(op)


def _keyword_parameters(op):
    names = dict(keywords(op))
    lines = []
    if op.kind == "row_loss":
        for name, default, kind, meaning in ROW_LOSS_OPTIONS:
            lines += [f"{name} : {kind}, default {default}", f"    {meaning}"]
    if "reduction" in names:
        lines.append('reduction : {"mean", "sum", "none"}, default "mean"')
        lines.append("    How the values become one; `mean` divides by the number (or weight) of targets.")
    if "out" in names:
        lines += ["out : ndarray, optional", f"    {_out(op)}"]
    rest = [name for name in names if name in ("where", "dtype", "casting", "order")]
    if rest:
        lines += [f"{', '.join(rest)} : optional", "    As for every NumPy ufunc."]
    return lines


def _out(op):
    if op.kind == "pick" and not op.is_backward:
        return "A tuple of two arrays, for the values and the indices."
    if op.page == "losses":
        return "Where the gradient is written; ``out=pred`` overwrites the predictions."
    if op.kind == "pick" or (op.core or "").endswith("->()"):
        return "Where the result is written."
    if op.kind == "channels" and op.is_backward:
        return "Where the gradient of x is written; ``out=grad`` and ``out=x`` work in place."
    given = ["grad", *op.reads] if op.is_backward else ["x"]
    if op.kind == "rows":
        given = [name for name, core in zip(op.inputs, op.cores, strict=False) if core]  # as long as the result
    names = " and ".join(f"``out={name}``" for name in given[:2])
    return f"Where the result is written; {names} work{'s' if len(given) == 1 else ''} in place."


def _reads(op):
    forward = op.forward or op
    if op.page == "losses" or forward.backward_op is None:
        return ""
    if forward.reads == ("y",):
        return "The backward pass reads the output: the forward pass may overwrite its input."
    names = " and ".join(f"`{name}`" for name in forward.reads)
    return f"The backward pass reads {names}: keep {'it' if len(forward.reads) == 1 else 'them'}."


def _errors(op):
    lines = ["TypeError", "    For complex, object or string arrays.", "ValueError", "    For shapes that do not fit"]
    more = ["parameters that break a rule"] if op.rules else []
    more += ["an `out` that is read-only"] if "out" in dict(keywords(op)) else []
    lines[-1] += "".join(f", or {text}" for text in more) + "."
    return lines


def docstring(op, name):
    """The docstring of a public function."""
    head, example = split_example(op)
    if op.page == "losses" and op.is_backward:
        value_head = split_example(op.forward)[0]
        head = f"Value and gradient of `{op.forward.name}`, in one pass: ``(value, grad)``.\n\n{value_head}\n\nThe gradient: {head}"
    formula = "" if op.formula in head else f"Formula: ``{op.formula}``"
    parts = [head, formula, _reads(op), "\n".join(["Parameters", "----------", *_parameters(op)])]
    parts.append("\n".join(["Raises", "------", *_errors(op)]))
    notes = [f"{what}: {text}." for what, text in (("Special values", op.limit), ("Elsewhere", op.differs)) if text]
    if op.page == "losses":
        notes.append("Integers and bools become floats as for `numpy.exp`.")
        notes.append("The value of float64 predictions is float64, of all others float32; sums are made in float64.")
    else:
        notes.append("The first array decides the dtype, integers and bools as for `numpy.exp`.")
        notes.append("Half precision computes in float32 and rounds once.")
    parts.append("\n".join(["Notes", "-----", *notes]))
    if op.source:
        parts.append("\n".join(["References", "----------", op.source]))
    if example:
        parts.append("\n".join(["Examples", "--------", example]))
    return "\n\n".join(part for part in parts if part)


def examples(functions):
    """The examples of all functions for doctest, which does not look into callables that are not Python functions."""
    return {name: function.__doc__ for name, function in functions.items()}
