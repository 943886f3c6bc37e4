"""The loop of losses that give one number a row, for a contiguous row and for rows side by side: cross-entropy against target weights
t, given densely, by label, or both together."""

import numpy as np

from fastact.numba_kernels.bits import real, scalar
from fastact.numba_kernels.column_loops import (
    BLOCK,
    COLUMNS,
    RUN,
    SUMS,
    add,
    add_lanes,
    column_excess,
    column_tops,
    lane_of,
    lanes_used,
    repeat,
    run,
    same,
    step_of,
)
from fastact.numba_kernels.loops import add_up, each, is_null, offset, stack
from fastact.numba_kernels.primitives import log1p
from fastact.numba_kernels.routines import routine
from fastact.numba_kernels.row_loops import row_excesses, row_tops


@routine
def weigh_row(cost, x, t, top, n):
    """The cost of a row of dense weights, but for the row's log1p(excess), and the sum of the weights."""
    block = stack(top, BLOCK)
    value = mass = 0.0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        each(size, block, cost, offset(x, start), offset(t, start), top, real(0))
        value += add_up(size, None, block)
        mass += add_up(size, None, offset(t, start))
    return value, mass


@routine
def weigh_columns(x, cost, value, mass, t, n, width, stride, top):
    """The same for each column, added to `value` and `mass`."""
    costs, weights, block = stack(x[0], SUMS), stack(x[0], SUMS), stack(x[0], COLUMNS)
    lost = stack(0.0, COLUMNS)  # of no matter to a cost, which is a sum of few digits
    each(width, lost, same, 0.0)
    for start in range(0, n, BLOCK):
        each(lanes_used(n, start) * width, costs, same, real(0))
        each(lanes_used(n, start) * width, weights, same, real(0))
        for i in range(start, start + BLOCK if n - start > BLOCK else n):
            here, there = lane_of(costs, i, width), lane_of(weights, i, width)
            each(width, block, cost, offset(x, i * stride), offset(t, i * stride), top, real(0))
            each(width, here, add, here, block)
            each(width, there, add, there, offset(t, i * stride))
        add_lanes(value, lost, costs, width, n, start)
        add_lanes(mass, lost, weights, width, n, start)


@scalar
def added_excess(value, mass, log_total):
    return value + (mass * log_total if mass != 0 else 0.0)


@scalar
def added_label(top, value, cost, at_target, at_label, log_total):
    return value + cost(at_target, real(at_label), top, log_total)


@scalar
def added_mass(top, mass, at_label):
    return mass + real(at_label)


@scalar
def added_z(value, top, log_total, z_loss):
    lse = np.float64(top) + np.float64(log_total)
    return value + (z_loss * lse * lse if z_loss != 0 else 0.0)


@scalar
def factor_of(top, log_total, mass, excess, z_loss, scale):
    lse = np.float64(top) + np.float64(log_total)
    return real(scale * (mass + 2.0 * z_loss * lse) / (1.0 + np.float64(excess)))


@routine
def close_rows(top, cost, values, mass, excess, at_target, at_label, z_loss, scale, width):
    """Add to the costs of the dense weights what labels, excesses and z-loss cost; leaves the factors of the gradients in `excess`."""
    log_total = stack(top[0], COLUMNS)
    each(width, log_total, log1p, excess)
    each(width, values, added_excess, values, mass, log_total)
    if not is_null(at_label):
        each(width, values, added_label, top, values, cost, at_target, at_label, log_total)
        each(width, mass, added_mass, top, mass, at_label)
    each(width, values, added_z, values, top, log_total, z_loss)
    each(width, excess, factor_of, top, log_total, mass, excess, z_loss, scale)


def row_loss_rows(term, cost, slope):
    """The costs of up to 256 rows that follow one another, and the gradients where `grad` is given; `grad` may be `x`."""

    def kernel(values, grad, x, t, labels, at_label, z_loss, scale, n, width, stride):
        number = type(x[0])
        factor, share = number(z_loss), number(scale)
        top, excess, at_target, mass = stack(x[0], COLUMNS), stack(x[0], COLUMNS), stack(x[0], COLUMNS), stack(0.0, COLUMNS)
        row_tops(x, n, width, top)
        for j in range(width):
            values[j] = mass[j] = 0.0
            if not is_null(labels):
                at_target[j] = x[j * n + labels[j]]
            if not is_null(t):
                values[j], mass[j] = weigh_row(cost, offset(x, j * n), offset(t, j * n), top[j], n)
        row_excesses(term, grad, x, n, width, top, excess)
        close_rows(top, cost, values, mass, excess, at_target, at_label, factor, share, width)
        if is_null(grad):
            return
        for j in range(width):
            here = offset(grad, j * n)
            if is_null(t):
                each(n, here, slope, here, number(0), excess[j], share)
            else:
                each(n, here, slope, here, offset(t, j * n), excess[j], share)
            if not is_null(labels):
                here[labels[j]] -= number(at_label[j]) * share

    return kernel


def row_loss_columns(term, cost, slope):
    """The same for up to 256 rows side by side."""

    def kernel(values, grad, x, t, labels, at_label, z_loss, scale, n, width, stride):
        number = type(x[0])
        factor, share = number(z_loss), number(scale)
        excess, at_target, mass = stack(x[0], RUN), stack(x[0], COLUMNS), stack(0.0, COLUMNS)
        top, _ = column_tops(x, n, width, stride, stack(x[0], RUN), stack(x[0], RUN))
        for j in range(width):
            values[j] = mass[j] = 0.0
            if not is_null(labels):
                at_target[j] = x[labels[j] * stride + j]
        if not is_null(t):
            weigh_columns(x, cost, values, mass, t, n, width, stride, top)
        column_excess(term, grad, x, n, width, stride, top, excess)
        close_rows(top, cost, values, mass, excess, at_target, at_label, factor, share, width)
        if is_null(grad):
            return
        step = step_of(n, width, stride)
        repeat(excess, width, step)
        for i in range(0, n, step):
            here, count = offset(grad, i * stride), run(n - i, step, width)
            if is_null(t):
                each(count, here, slope, here, number(0), excess, share)
            else:
                each(count, here, slope, here, offset(t, i * stride), excess, share)
        if not is_null(labels):
            for j in range(width):
                grad[labels[j] * stride + j] -= number(at_label[j]) * share

    return kernel
