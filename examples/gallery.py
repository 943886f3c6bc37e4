"""Draws every activation with its derivative, by walking fastact's register.

This file names no function; one that is added to the package appears here by itself.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastact as fa

COLUMNS = 6


def activations():
    """The elementwise functions, each once (an alias is the same entry)."""
    ops = {op.name: op for op in fa.ops.values()}
    return [op for op in ops.values() if op.kind == "map" and not op.is_backward]


def parameters(op):
    """The parameters at their defaults; 1 where an operation has none."""
    return {p.name: p.default if isinstance(p.default, (int, float)) else 1.0 for p in op.params}


def curves(op, points=801):
    """x, f(x) and f'(x): the derivative is the gradient of a loss that is the sum of the outputs."""
    low, high = (float(np.clip(edge, -4, 4)) for edge in op.domain)
    x = np.linspace(low, high, points + 2)[1:-1]  # a domain's edge may be a pole
    y = getattr(fa, op.name)(x, **parameters(op))
    saved = [{"x": x, "y": y}[name] for name in op.reads]
    slope = getattr(fa, op.backward_op.name)(np.ones_like(x), *saved, **parameters(op.backward_op))
    return x, y, slope


def draw(path):
    """One small picture per activation, all to the same scale; returns their names."""
    ops = activations()
    rows = -(-len(ops) // COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, 2.0 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, op in zip(grid, ops, strict=False):
        x, y, slope = curves(op)
        axes.axhline(0, color="#cccccc", linewidth=0.8)
        axes.axvline(0, color="#cccccc", linewidth=0.8)
        axes.plot(x, slope, color="#e08214", linewidth=1.3)
        axes.plot(x, y, color="#1f5fa8", linewidth=1.8)
        axes.set_title(op.name, fontsize=10)
        axes.text(0.04, 0.9, f"backward reads {' and '.join(op.reads)}", transform=axes.transAxes, fontsize=6, color="#666666")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[max(len(ops) - COLUMNS, 0) : len(ops)]:
        axes.tick_params(labelbottom=True)  # the lowest of each column, also above an empty place
    for axes in grid[len(ops) :]:
        axes.set_visible(False)
    grid[0].set(xlim=(-4, 4), ylim=(-2, 3.4), xticks=(-2, 0, 2))
    function, derivative = grid[0].lines[-1], grid[0].lines[-2]
    figure.legend((function, derivative), ("f(x)", "f'(x)"), loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120)
    return [op.name for op in ops]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("out"), help="folder for the picture")
    out = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    names = draw(out / "gallery.png")
    print(f"{len(names)} activations in {out / 'gallery.png'}: {', '.join(names)}")


if __name__ == "__main__":
    main()
