"""How many threads a large call may use, and why: the environment at import, `set_num_threads`, ``with threads(...)``, and after a fork."""

import operator
import os

from fastact.engine import cpu
from fastact.engine import threads as driver
from fastact.setting import Setting

MOST_THREADS = 1024


def _checked(count, name="count"):
    try:
        number = 0 if isinstance(count, bool) else operator.index(count)
    except TypeError:
        number = 0
    if not 1 <= number <= MOST_THREADS:
        raise ValueError(f"{name}={count!r}; a whole number from 1 to {MOST_THREADS} is required")
    return number


def _at_first():
    """How many threads a call may use at first, and why."""
    ours, others = (os.environ.get(f"{whose}_NUM_THREADS", "") for whose in ("FASTACT", "OMP"))
    if ours:
        number = int(ours) if ours.strip().isdecimal() else ours
        return _checked(number, "FASTACT_NUM_THREADS"), f"FASTACT_NUM_THREADS={ours}"
    first = others.split(",")[0].strip()  # a list gives one number per nesting level
    if first.isdecimal() and int(first) > 0:
        cut = f", cut to {MOST_THREADS}, the most" if int(first) > MOST_THREADS else ""
        return min(int(first), MOST_THREADS), f"OMP_NUM_THREADS={others}{cut}"
    ignored = f"; OMP_NUM_THREADS={others}, no positive number, was ignored" if others else ""  # as OpenMP does
    return min(cpu.usable_cpus(), 8), f"the processors this process may use, at most 8{ignored}"


LIMIT = Setting(driver.set_limit, *_at_first())


def get_num_threads():
    """How many threads a large call may use.

    Examples
    --------
    >>> fa.get_num_threads() >= 1
    True
    """
    return driver.get_limit()


def set_num_threads(count):
    """Set how many threads a large call may use, from 1 (serial) to 1024; the results have the same bits for any number.

    Inside a ``with fa.threads(...)`` block of this Python thread it holds until the block is left.

    Examples
    --------
    >>> fa.set_num_threads(fa.get_num_threads())
    """
    LIMIT.set(_checked(count), "set_num_threads")


def threads(count):
    """Use at most so many threads inside a ``with`` block.

    The number holds for the whole process, Python's other threads too; of several open blocks the one entered last decides.

    Examples
    --------
    >>> with fa.threads(1):
    ...     fa.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return LIMIT.block(_checked(count), "threads")


def _after_fork():
    driver.forget_helpers()
    LIMIT.restart(1, "a forked process, which computes on one thread until it sets another number")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
