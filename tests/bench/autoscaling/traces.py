"""Workloads: the published traces in `TRACES`, read as they are and scaled to a fleet, and two made ones.

Rates are scaled, since the recorded ones belong to other fleets. Of ServeGen the rate is divided, its bursts (the
coefficient of variation of gaps) kept; of the traces with single requests each request comes a Poisson number of times,
a few seconds away from where it was. So each seed is another draw of the same day.
"""

import contextlib
import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from tests.bench.autoscaling.fleet import Workload
from tests.bench.autoscaling.kernel import RING, Floats, Ints

Chance = np.random.Generator

DAY_S: Final = 86_400
_BLOCK: Final = 512
"""Tokens that one of Mooncake's `hash_ids` stands for."""
_JITTER_S: Final = 5.0
_MOST_CV: Final = 8.0
"""1.5 % of ServeGen's windows have more, up to 627: a draw would be all of a window's requests at once, or none."""


@dataclass(frozen=True)
class Lengths:
    """Tokens read and made by each request of a trace, with its time in seconds."""

    arrival: Floats
    prompt: Ints
    output: Ints


@dataclass(frozen=True)
class Windows:
    """ServeGen's windows, all of one length in seconds: requests/s, and the coefficient of variation of gaps."""

    length_s: float
    rate: Floats
    cv: Floats


def azure(path: Path) -> Lengths:
    """TIMESTAMP,ContextTokens,GeneratedTokens; raises ValueError with the line that is something else."""
    times, prompts, outputs = [], [], []
    for line, row in _rows(path, ("TIMESTAMP", "ContextTokens", "GeneratedTokens")):
        with _named(path, line):
            # The seconds have seven decimals, of which datetime reads six.
            times.append(datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp())
            prompts.append(int(row["ContextTokens"]))
            outputs.append(int(row["GeneratedTokens"]))
    return _lengths(path, np.array(times), np.array(prompts), np.array(outputs))


def mooncake(path: Path) -> Lengths:
    """timestamp (ms), input_length, output_length, hash_ids: of a prompt, what no earlier one began with.

    Raises ValueError with the line that is something else.
    """
    seen: set[int] = set()
    times, prompts, outputs = [], [], []
    with _text(path) as file:
        for number, line in enumerate(file, 1):
            with _named(path, number):
                entry = json.loads(line)
                blocks = entry["hash_ids"]
                known = next((i for i, block in enumerate(blocks) if block not in seen), len(blocks))
                seen.update(blocks)
                times.append(entry["timestamp"] / 1000)
                prompts.append(entry["input_length"] - known * _BLOCK)
                outputs.append(entry["output_length"])
    return _lengths(path, np.array(times), np.array(prompts), np.array(outputs))


def servegen(path: Path) -> Windows:
    """start_s, requests_per_s, cv; raises ValueError where windows are not of one length, or no numbers."""
    rows: list[tuple[float, float, float]] = []
    for line, row in _rows(path, ("start_s", "requests_per_s", "cv")):
        with _named(path, line):
            rows.append((float(row["start_s"]), float(row["requests_per_s"]), float(row["cv"])))
    starts, rate, cv = np.array(rows).reshape(-1, 3).T
    gaps = np.diff(starts)
    if len(gaps) == 0 or np.any(gaps != gaps[0]):
        raise ValueError(f"{path}: start_s must grow by the same number of seconds from line to line")
    return Windows(float(gaps[0]), rate, np.minimum(_MOST_CV, cv))


def part_of(
    windows: Windows, name: str, begin_s: float, seconds: int, share: float, like: Lengths, chance: Chance
) -> Workload:
    """`share` of the requests of ServeGen from `begin_s` on; gaps Gamma with the window's cv, lengths of `like`."""
    pieces, first = [], int(begin_s // windows.length_s)
    for index in range(first, int(np.ceil((begin_s + seconds) / windows.length_s))):
        begin = index * windows.length_s - begin_s
        pieces.append(begin + _renewals(windows.rate[index] * share, windows.cv[index], windows.length_s, chance))
    arrival = np.concatenate(pieces)
    arrival = arrival[(arrival >= 0) & (arrival < seconds)]
    return _drawn(name, arrival, seconds, like, chance)


def again(trace: Lengths, name: str, rate: float, chance: Chance) -> Workload:
    """A trace at `rate` times its rate."""
    picked = np.repeat(np.arange(len(trace.arrival)), chance.poisson(rate, len(trace.arrival)))
    seconds = int(np.ceil(trace.arrival[-1]))
    arrival = np.clip(trace.arrival[picked] + chance.uniform(-_JITTER_S, _JITTER_S, len(picked)), 0, seconds)
    order = np.argsort(arrival, kind="stable")
    picked = picked[order]
    return Workload(name, arrival[order], trace.prompt[picked], trace.output[picked], seconds)


def steps(name: str, levels: tuple[tuple[int, float], ...], like: Lengths, chance: Chance) -> Workload:
    """Poisson arrivals; `levels` are (seconds, requests/s) one after another."""
    pieces, begin = [], 0
    for seconds, rate in levels:
        pieces.append(begin + np.sort(chance.uniform(0, seconds, chance.poisson(rate * seconds))))
        begin += seconds
    return _drawn(name, np.concatenate(pieces), begin, like, chance)


def _renewals(rate: float, cv: float, seconds: float, chance: Chance) -> Floats:
    """Times in [0, seconds) whose gaps are Gamma with mean 1/rate and this cv, begun in the middle of one."""
    if rate <= 0:
        return np.zeros(0)
    shape = 1 / cv**2
    times = np.zeros(0)
    begin = -chance.exponential(cv**2 / rate)
    while begin < seconds:
        gaps = chance.gamma(shape, 1 / (rate * shape), max(64, int(rate * seconds / 4)))
        times = np.concatenate([times, begin + np.cumsum(gaps)])
        begin = times[-1]
    return times[(times >= 0) & (times < seconds)]


def _drawn(name: str, arrival: Floats, seconds: int, like: Lengths, chance: Chance) -> Workload:
    picked = chance.integers(0, len(like.prompt), len(arrival))
    return Workload(name, arrival, like.prompt[picked], like.output[picked], seconds)


def _lengths(path: Path, arrival: Floats, prompt: Ints, output: Ints) -> Lengths:
    if len(arrival) == 0:
        raise ValueError(f"{path}: no request is in it")
    return Lengths(arrival - arrival[0], np.maximum(1, prompt), np.clip(output, 1, RING - 1))


@contextlib.contextmanager
def _named(path: Path, line: int) -> Iterator[None]:
    """What a line is not, with where it stands."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}:{line}: not of this trace's form ({type(error).__name__}: {error})") from error


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with the number of its line."""
    with _text(path) as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns:
            raise ValueError(f"{path}: its first line must be {','.join(columns)}, and is {reader.fieldnames}")
        yield from ((reader.line_num, row) for row in reader)


def _text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
