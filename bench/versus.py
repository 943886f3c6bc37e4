"""Our two backends against every library that is installed, all timed in turn in one run on the same cores: how far ahead, where behind.

    python bench/versus.py                                  measure everything, write docs/versus.* and the README's table
    python bench/versus.py --threads 2                      elementwise functions and rows of 1000 on two cores; written beside
    python bench/versus.py --quick                          fewer sizes, in a few minutes; prints, writes no document
    python bench/versus.py --ops gelu --json docs/versus.json       measure a part again; the rest of the file stays
    python bench/versus.py --report docs/versus.json        write the documents again from a file

Whoever can, writes to prepared memory, or in place, whichever is faster for it; inputs that are overwritten are restored outside the
timing. The best round of each counts. Each case is raced until everyone who is near the front has had its time. Of a library that
can do a function in six ways the best of six times as many rounds counts, which decides where all wait for memory: so cases that are
close are decided by finals, in which each library and each of our backends has its best way alone, and all have the same time.
"""

import argparse
import collections
import gc
import json
import os
import pathlib
import random
import sys
import time

import cases
import numpy as np
import peers
import versus_documents
import versus_report
from versus_errors import Known

import fastact as fa
from fastact import backends, measure

ROOT = pathlib.Path(__file__).resolve().parents[1]
Scope = collections.namedtuple("Scope", "sizes widths labelled kinds seconds")
"""What is raced: sizes, widths of rows, shapes of rows with labels, kinds of operations; seconds for a contender near the front."""
SIZES = (10_000, 1_000_000, 20_000_000)
EVERY = ("map", "rows", "channels", "pick", "loss", "row_loss")
FULL = Scope(SIZES, (10, 128, 1000, 1024, 50257), ((1000, 10), (64, 1000), (1000, 128), (16, 50257)), EVERY, 0.04)
QUICK = Scope((10_000, 1_000_000), (10, 1000, 50257), FULL.labelled, EVERY, 0.015)
THREADED = Scope(SIZES, (1000,), ((64, 1000),), ("map", "rows", "row_loss"), 0.02)
ROWS_TOGETHER = 1_000_000
FAR, BEHIND, SIBLING = 20, 3, 1.1  # how many times as long as the best of all, of all, of the same library: then it gets few turns
ROUND = 1e-4  # seconds that a round lasts at least
BURST, SHORT = 5, 5e-3  # rounds in a turn, after the first of which caches are warm, where they last no longer than so many seconds
LONG_BURST = 50  # the same on several threads, where each turn begins with a rest: fewer turns
PAUSE, PAUSES = 1e-2, 30  # seconds to look whether all threads rest (their time is brought up to date every 4 ms), and how often at most
CLOSE, FINALS = 1.1, 4  # cases less far ahead are decided by so many finals, apart in time: what waits for memory varies by a sixth
ROUNDS = 25  # of the fastest in a final, at least: of seven rounds the best varies more than those who race
FEW, ENOUGH, LONG = 2, 5, 0.1  # turns of those who are behind, and of everyone else at least, unless a call takes long


# ---- cases ------------------------------------------------------------------------------------------------------------


def plan(scope, dtypes, only=()):
    """The cases in the order of the register: `only` these operations, named by themselves or by their forward."""
    for op in fa.ops.values():
        if op.kind not in scope.kinds or (only and not {op.name, (op.forward or op).name} & set(only)):
            continue
        for dtype in dtypes:
            yield from (cases.Case(op, shape, dtype, axis) for shape, axis in shapes(op, scope))


def shapes(op, scope):
    """``(shape, axis)`` of an operation's cases."""
    if op.kind == "rows":
        for width in scope.widths:
            yield (max(1, ROWS_TOGETHER // width), width), -1
            yield (width, max(1, ROWS_TOGETHER // width)), 0
    elif op.kind == "row_loss":
        yield from ((shape, -1) for shape in scope.labelled)
    else:
        yield from ((measure.shape_of(op, n), -1) for n in scope.sizes)


def entrants(case):
    """``{(name, how): contender}`` of everyone who can do the case."""
    arrays, x = case.given()
    found = {}
    for name in cases.BACKENDS:
        found.update({(name, how): contender for how, contender in cases.entries(case, name, arrays).items()})
    for name in peers.LIBRARIES:
        for peer in peers.contenders(case.op, name, arrays, x, case.axis):
            found[name, f"{peer.way.label}, {peer.how}"] = peer
    return found


# ---- the race ---------------------------------------------------------------------------------------------------------


def rest():
    """Wait until no thread of the process spins: those of the contender before would take a core from the next one."""
    for _ in range(PAUSES):
        start = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - start < PAUSE / 4:
            return


def race(contenders, seconds, threads=1):
    """The best seconds per call of each contender by its key, by rounds in turn; who is far behind gets few of them.

    Turns are shuffled: whoever came first would always find the caches as the last one leaves them.
    """
    best, spent, turns, order = {}, dict.fromkeys(contenders, 0.0), 0, random.Random(0)
    for key, contender in contenders.items():
        first = contender.round()  # compiles, faults pages in, fills caches
        if first * len(contender.calls) < ROUND:
            contender.calibrate(ROUND)
        best[key] = contender.round() if first < SHORT else first
    active = list(contenders)
    gc.disable()
    try:
        while active:
            order.shuffle(active)
            for key in active:
                if threads > 1:
                    rest()
                start, contender = time.perf_counter(), contenders[key]
                for _ in range(BURST if threads == 1 else LONG_BURST):
                    taken = contender.round()
                    best[key] = min(best[key], taken)
                    spent[key] += taken * len(contender.calls) * contender.repeat  # without what restores overwritten arrays
                    if time.perf_counter() - start > SHORT:
                        break
            turns += 1
            active = [key for key in active if goes_on(key, best, spent[key], turns, seconds)]
    finally:
        gc.enable()
    return best


def goes_on(key, best, spent, turns, seconds):
    """Whether a contender gets another turn: those near the front for their time, others for a few turns."""
    if best[key] > FAR * min(best.values()):
        return False
    if turns < FEW and best[key] < LONG:
        return True
    if best[key] > BEHIND * min(best.values()):
        return False
    sibling = min(value for (name, _), value in best.items() if name == key[0])
    return spent < seconds * (1 if turns >= ENOUGH else 4) and ((turns < ENOUGH and spent < seconds) or best[key] < SIBLING * sibling)


def measured(case, seconds, threads=1):
    """The record of a case: the best seconds of each of our ways, and of each other library in its best way."""
    with np.errstate(all="ignore"):
        best = race(entrants(case), seconds, threads)
    times, hows = {}, {}
    for (name, how), taken in best.items():
        if name in cases.BACKENDS:
            times[f"{name} {how}"] = taken
        elif taken < times.get(name, float("inf")):
            times[name], hows[name] = taken, how
    forward = case.op.forward or case.op
    facts = {"op": case.op.name, "forward": forward.name, "backward": case.op.is_backward, "dtype": case.dtype, "axis": case.axis}
    return {"case": case.name, **facts, "shape": list(case.shape), "elements": case.elements, "seconds": times, "hows": hows}


def better(one, other):
    """A record with the better of two times for each contender."""
    times, hows = {**one["seconds"], **other["seconds"]}, {**one["hows"], **other["hows"]}
    for label, taken in one["seconds"].items():
        if taken < times[label]:
            times[label] = taken
            hows.update({label: one["hows"][label]} if label in one["hows"] else {})
    return {**one, "seconds": times, "hows": hows}


def finalists(record):
    """``{(name, how): label}``: the best way of each who is near the front, as contenders are called and as the record calls them."""
    times = record["seconds"]
    ways = {(name, how): name for name, how in record["hows"].items()}
    for name in cases.BACKENDS:
        label = min((label for label in times if label.partition(" ")[0] == name), key=times.get)
        ways[name, label.partition(" ")[2]] = label
    return {key: label for key, label in ways.items() if times[label] < BEHIND * min(times.values())}


def final(case, ways, seconds, threads=1):
    """The best seconds of the finalists of a case, by their labels; all of them have the same time, enough for many rounds."""
    with np.errstate(all="ignore"):
        contenders = {key: one for key, one in entrants(case).items() if key in ways}
        enough = ROUNDS * min(one.round() * len(one.calls) for _ in range(2) for one in contenders.values())
        best = race(contenders, max(seconds, enough), threads)
    return {ways[key]: taken for key, taken in best.items()}


def decided(record, ways, best):
    """A record with the times of its finals; those of an earlier race, in another way, do not count for a backend that was in them."""
    labels = {name: label for (name, _), label in ways.items()}
    others = {label: taken for label, taken in record["seconds"].items() if labels.get(label.partition(" ")[0], label) == label}
    return {**record, "seconds": {**others, **best}}


# ---- a run ------------------------------------------------------------------------------------------------------------


def pin(count):
    """Keep the process on so many of its cores: libraries that decide on threads when they start see no others."""
    if hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < count:
            raise SystemExit(f"{count} threads asked for, but the process may use only {len(usable)} processors")
        os.sched_setaffinity(0, usable[-count:])
    fa.set_num_threads(count)
    for name in peers.LIBRARIES:
        if peers.library(name):
            peers.library(name).set_threads(count)


def head(threads, date):
    """What a file of results says of its origin."""
    config = backends.config()
    ours = {"fastact": config["fastact"], **{name: measure.available()[name] for name in cases.BACKENDS}}
    found = {"processor": config["processor"], "threads": threads, "ours": ours, "peers": peers.versions()}
    return {**found, "date": date} if date else found


def runs(path):
    """The runs of a file by their number of threads; a file of one run alone is read too."""
    data = json.loads(path.read_text()) if path.exists() else {"runs": []}
    return {run["head"]["threads"]: run for run in data.get("runs", [data])}


def load(path, header):
    """The records of a file by case, if it is of this machine, these versions and as many threads."""
    run = runs(path).get(header["threads"])
    if run is None:
        return {}
    if {**run["head"], "date": None} != {**header, "date": None}:
        print(f"{path} is of another machine or of other versions: its {header['threads']}-thread part is replaced")
        return {}
    return {record["case"]: record for record in run["cases"]}


def save(path, header, records):
    """Put a run into a file, where those of other numbers of threads stay; a line a case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    every = runs(path) | {header["threads"]: {"head": header, "cases": list(records.values())}}
    texts = []
    for _, run in sorted(every.items()):
        lines = ",\n".join(f"   {json.dumps(record)}" for record in run["cases"])
        texts.append(f'  {{\n   "head": {json.dumps(run["head"])},\n   "cases": [\n{lines}\n   ]\n  }}')
    path.write_text('{\n "runs": [\n' + ",\n".join(texts) + "\n ]\n}\n")


def run(chosen, seconds, path, header, resume=False):
    """Measure the cases, then decide those that are close or lost by finals; the file is kept up to date."""
    records, threads = load(path, header), header["threads"]
    known, started = set(records) if resume else set(), time.perf_counter()
    todo = [case for case in chosen if case.name not in known]
    for number, case in enumerate(todo, 1):
        records[case.name] = measured(case, seconds, threads)
        print(f"{time.perf_counter() - started:5.0f} s {number:3}/{len(todo)}  {versus_report.line(records[case.name])}", flush=True)
        if number % 10 == 0 or case.elements > cases.LARGE:
            gc.collect()
            save(path, header, records)
    finals([case for case in chosen if not records[case.name].get("finals")], seconds, path, header, records, started)
    order = {case.name: place for place, case in enumerate(plan(FULL, ("float32", "float64")))}
    records = dict(sorted(records.items(), key=lambda pair: order.get(pair[0], len(order))))
    save(path, header, records)


def finals(undecided, seconds, path, header, records, started):
    """Decide the cases that are close or lost: another race, lest a slow moment hide somebody's best way, then the finals in turn."""
    threads, close = header["threads"], [case for case in undecided if versus_report.ratio(records[case.name]) < CLOSE]
    for case in close:
        records[case.name] = better(records[case.name], measured(case, seconds, threads))
    ways, best = {case.name: finalists(records[case.name]) for case in close}, collections.defaultdict(dict)
    for number in range(1, FINALS + 1):
        for case in close:
            times = best[case.name]
            for label, taken in final(case, ways[case.name], 2 * seconds, threads).items():
                times[label] = min(taken, times.get(label, taken))
            records[case.name] = {**decided(records[case.name], ways[case.name], times), **({"finals": number} if number == FINALS else {})}
            print(f"{time.perf_counter() - started:5.0f} s  final  {versus_report.line(records[case.name])}", flush=True)
        gc.collect()
        save(path, header, records)


def numbers(text):
    return tuple(int(float(part)) for part in text.split(","))


def words(text):
    return tuple(text.split(","))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes, shorter races, no documents")
    parser.add_argument("--ops", type=words, default=(), help="only these, by commas; a forward's name includes its backward")
    parser.add_argument("--sizes", type=numbers, help="of elementwise functions, by commas")
    parser.add_argument("--widths", type=numbers, help="of rows, by commas")
    parser.add_argument("--dtypes", type=words, default=("float32", "float64"))
    parser.add_argument("--threads", type=int, default=1, help="threads, and the cores to which the process is kept")
    parser.add_argument("--json", type=pathlib.Path, help="where the results go; what it holds of other cases stays")
    parser.add_argument("--resume", action="store_true", help="leave out the cases that the file holds")
    parser.add_argument("--date", help="to be written into the file")
    parser.add_argument("--report", type=pathlib.Path, metavar="FILE", help="measure nothing, write the documents from this file")
    parser.add_argument("--root", type=pathlib.Path, default=ROOT, help="where README.md and docs/ are")
    args = parser.parse_args(argv)
    path = args.report or args.json or args.root / "docs" / ("versus_quick.json" if args.quick else "versus.json")
    if args.report and not path.exists():
        parser.error(f"{path} does not exist")
    if not args.report:
        pin(args.threads)
        scope = QUICK if args.quick else FULL if args.threads == 1 else THREADED
        scope = scope._replace(sizes=args.sizes or scope.sizes, widths=args.widths or scope.widths)
        chosen = list(plan(scope, args.dtypes, args.ops))
        if not chosen:
            parser.error("no operation of these names")
        run(chosen, scope.seconds, path, head(args.threads, args.date), args.resume)
    found, known = [one for _, one in sorted(runs(path).items())], Known.read(args.root)
    print("\n\n".join(versus_report.summary(one, known) for one in found if args.report or one["head"]["threads"] == args.threads))
    if args.report or not (args.quick or args.ops or args.sizes or args.widths or args.json):
        versus_documents.write(found, known, args.root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
