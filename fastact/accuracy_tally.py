"""What a sweep finds, and how it adds up: worst errors, worst inputs, the histogram, wrong special values, the profile over x.

Tallies of parts of a sweep merge in any order to that of the whole, and survive in JSON, so that a sweep can be interrupted.
"""

import numpy as np

from fastact import measure

FINE = 8  # histogram: bins to a unit in the last place
REACH = 8  # ... which spans so many units to either side; what is beyond lies in the outermost bins
BINS = 2 * FINE * REACH + 1
BUCKETS = 4096  # the profile has a bucket for each sign, exponent and first bits of the pattern
KEPT = 8
CLASSES = ("normal", "subnormal")


def bucket(pattern, dtype):
    """The bucket of the profile in which a bit pattern lies: its first twelve bits."""
    return np.asarray(pattern) >> (8 * np.dtype(dtype).itemsize - 12)


class Tally:
    """The result of a sweep, or of a part of it.

    Attributes
    ----------
    points, seconds : number
    low, high : dict
        The most negative and the most positive error in ulp, of results of each class: normal and subnormal numbers.
    histogram : ndarray of int
    worst : list of (error, pattern)
        The largest errors, the largest first; a neighbourhood gives one.
    wrong, wrong_at : int, list of int
        Results that are nan or infinite where they should not be, or are not where they should; the first patterns of those.
    zeros, zeros_at : int, list of int
        Results that are the other zero: +0 for a true value below zero, however small, or -0 for one above.
    differ, beside : dict
        How many results of another function have other bits, by its name, and the tally of that function at the same inputs.
    profile : ndarray
        The largest error in each bucket of inputs; nan where no input was.
    """

    def __init__(self):
        self.points = self.wrong = self.zeros = 0
        self.seconds = 0.0
        self.low = dict.fromkeys(CLASSES, 0.0)
        self.high = dict.fromkeys(CLASSES, 0.0)
        self.histogram = np.zeros(BINS, np.int64)
        self.worst, self.wrong_at, self.zeros_at = [], [], []
        self.differ, self.beside = {}, {}
        self.profile = np.full(BUCKETS, np.nan)

    def found(self, kind, low, high):
        """Note the extremes of some errors, for results of one class."""
        self.low[kind] = min(self.low[kind], float(low))
        self.high[kind] = max(self.high[kind], float(high))

    def ranks(self, error):
        """Whether an error would be among the worst."""
        return error != 0 and (len(self.worst) < KEPT or abs(error) > abs(self.worst[-1][0]))

    def candidate(self, error, pattern):
        """Note an input whose error may be among the worst."""
        if self.ranks(error):
            self.worst = ranked([*self.worst, (float(error), int(pattern))])

    def at(self, buckets, errors):
        """Note absolute errors in their buckets of the profile."""
        np.fmax.at(self.profile, buckets, errors)

    def failed(self, patterns):
        """Note wrong special values."""
        self.wrong += len(patterns)
        self.wrong_at = first(self.wrong_at, patterns)

    def other_zero(self, patterns):
        """Note zeros of the wrong sign."""
        self.zeros += len(patterns)
        self.zeros_at = first(self.zeros_at, patterns)

    def count(self, errors, low, high):
        """Add errors, none of them nan, between `low` and `high`, to the histogram; they may be overwritten."""
        if low * FINE > -0.5 and high * FINE < 0.5:  # most of a full sweep: what saturates, or is linear
            self.histogram[FINE * REACH] += errors.size
            return
        if low < -REACH or high > REACH:
            np.clip(errors, -REACH, REACH, out=errors)
        errors *= FINE
        errors += FINE * REACH + 0.5
        self.histogram += np.bincount(errors.astype(np.intp), minlength=BINS)

    def add(self, other):
        """Merge another tally into this one."""
        self.points += other.points
        self.seconds += other.seconds
        self.wrong += other.wrong
        self.zeros += other.zeros
        self.wrong_at = first(self.wrong_at, other.wrong_at)
        self.zeros_at = first(self.zeros_at, other.zeros_at)
        for kind in CLASSES:
            self.found(kind, other.low[kind], other.high[kind])
        self.histogram += other.histogram
        self.worst = ranked(self.worst + other.worst)
        for name, tally in other.beside.items():
            self.compared(name, other.differ[name], tally)
        self.profile = np.fmax(self.profile, other.profile)

    def compared(self, name, differing, tally):
        """Note what was found of another function at the same inputs."""
        self.differ[name] = self.differ.get(name, 0) + differing
        self.beside.setdefault(name, Tally()).add(tally)

    def error(self, kind=None):
        """The largest absolute error, of one class or of all."""
        kinds = CLASSES if kind is None else (kind,)
        return max(0.0, *(max(-self.low[k], self.high[k]) for k in kinds))

    def as_dict(self):
        """What JSON can hold."""
        names = ("points", "seconds", "low", "high", "wrong", "wrong_at", "zeros", "zeros_at", "differ")
        plain = {name: getattr(self, name) for name in names}
        plain["histogram"] = self.histogram.tolist()
        plain["beside"] = {name: tally.as_dict() for name, tally in self.beside.items()}
        plain["worst"] = [list(pair) for pair in self.worst]
        plain["profile"] = [None if np.isnan(value) else float(f"{value:.4g}") for value in self.profile.tolist()]
        return plain

    @classmethod
    def from_dict(cls, plain):
        """The tally that `as_dict` wrote."""
        made = cls()
        for name, value in plain.items():
            setattr(made, name, value)
        made.beside = {name: cls.from_dict(tally) for name, tally in plain["beside"].items()}
        made.histogram = np.array(plain["histogram"], np.int64)
        made.worst = [tuple(pair) for pair in plain["worst"]]
        made.profile = np.array([np.nan if value is None else value for value in plain["profile"]])
        return made


def first(patterns, more):
    """The first of some patterns."""
    return sorted({*patterns, *map(int, more[:KEPT])})[:KEPT]


def ranked(pairs):
    """The worst of some (error, pattern), the largest error first."""
    return sorted(set(pairs), key=lambda pair: (-abs(pair[0]), pair[1]))[:KEPT]


def differing(got, other):
    """How many results have other bits; every nan is like every other."""
    word = f"u{got.dtype.itemsize}"
    unlike = got.view(word) != other.view(word)
    if unlike.any():
        unlike &= ~(np.isnan(got) & np.isnan(other))
    return int(np.count_nonzero(unlike))


def judge_all(tally, got, others, judging):
    """Judge results into the tally, and those of `others`, pairs of name and results, into theirs.

    ``judging(tally, results)`` says how; where all bits are the same it need not be done again.
    """
    part = Tally()
    judging(part, got)
    for name, results in others:
        count = differing(got, results)
        own = Tally() if count else part
        if count:
            judging(own, results)
        tally.compared(name, count, own)
    tally.add(part)


def judge(tally, patterns, got, true, size):
    """Judge results one by one: special values, errors, and where they are. `patterns` are the bits of the inputs."""
    dtype = got.dtype
    error = measure.ulp(got, true, dtype, size)
    big = np.asarray(got).astype(measure.Wide)
    wrong = np.isnan(got) != np.isnan(true)
    wrong |= np.isinf(true) & (big != true) & ~np.isnan(true)
    tally.failed(patterns[wrong])
    tally.other_zero(patterns[(got == 0) & (np.signbit(got) != np.signbit(true)) & ~np.isnan(true)])
    signed = np.where(np.isfinite(error), np.copysign(error, np.where(np.isnan(true), 0, big - true)), 0)
    tiny = np.fmax(np.abs(true), size) < measure.finfo(dtype).smallest_normal
    for kind, chosen in (("normal", ~tiny), ("subnormal", tiny)):
        if chosen.any():
            tally.found(kind, signed[chosen].min(), signed[chosen].max())
    if signed.size:
        tally.count(signed.copy(), signed.min(), signed.max())
    buckets = bucket(patterns, dtype)
    tally.at(buckets, np.abs(signed))
    for one in np.unique(buckets):
        here = np.flatnonzero(buckets == one)
        at = here[np.argmax(np.abs(signed[here]))]
        tally.candidate(signed[at], patterns[at])
    tally.points += len(patterns)
