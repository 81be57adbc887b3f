"""Replicas of vLLM, step by step, in the part of Python that numba compiles (see the last line).

A step takes what decodes (one token each) and, with what the token budget leaves, prompts in the order of arrival, a
long one in chunks. It lasts step_s + sequence_s·decoding + context_s·their tokens + prompt_s·prompt tokens +
attention_s·prompt tokens·their context. A request that was read gets its first token at the end of that step and one at
each step after. It is let in when a seat is free and its whole length has room in the cache, so none is preempted.

Requests go in the order of arrival to the less busy of two replicas (which two follows from the request's number, the
same for every policy); where both are full to the least busy of all; where all are, they wait at the router.
"""

from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OFF: Final = 0
STARTING: Final = 1
UP: Final = 2
DRAINING: Final = 3

NOBODY: Final = -1
RING: Final = 2048
"""Steps ahead for which endings are noted: no answer may have more tokens."""
_SLICE_S: Final = 0.05
"""How often those at the router look for a place."""


class Engine(NamedTuple):
    """Constants of one replica; seconds per step, sequence, token of context, prompt token, and product of the two."""

    budget: int
    seats: int
    cache: int
    ongoing: int
    """Requests that a replica takes at once, waiting ones included."""
    step_s: float
    sequence_s: float
    context_s: float
    prompt_s: float
    attention_s: float


class Requests(NamedTuple):
    """One entry per request, in the order of arrival; `first` and `finish` are NaN until they happen."""

    arrival: Floats
    prompt: Ints
    output: Ints
    first: Floats
    finish: Floats
    after: Ints
    """Who is next in the list that the request is in."""
    cursor: Ints
    """[0]: how many have gone to a replica, [1]: how many have arrived."""


class Replicas(NamedTuple):
    """One entry per place for a replica."""

    phase: Ints
    ready: Floats
    clock: Floats
    """When its present step ends."""
    steps: Ints
    decoding: Ints
    seated: Ints
    waiting: Ints
    context: Ints
    """Tokens of those that decode."""
    reserved: Ints
    head: Ints
    tail: Ints
    read: Ints
    """Tokens of the prompt at the head that were read."""
    ending: Ints
    """[place, step modulo RING]: who has the last token at that step."""
    prompts: Ints
    outputs: Ints
    finished: Ints
    busy: Floats
    """Seconds in which it stepped."""


def enqueue(requests: Requests, replicas: Replicas, place: int, request: int, now: float) -> None:
    """A request joins the line of a replica."""
    if replicas.decoding[place] == 0 and replicas.waiting[place] == 0:
        replicas.clock[place] = max(replicas.clock[place], now)
    requests.after[request] = NOBODY
    if replicas.waiting[place] == 0:
        replicas.head[place] = request
    else:
        requests.after[replicas.tail[place]] = request
    replicas.tail[place] = request
    replicas.waiting[place] += 1


def may_begin(engine: Engine, requests: Requests, replicas: Replicas, place: int, request: int) -> bool:
    """Whether a seat is free and the cache has room; the first one in an empty engine always may."""
    need = requests.prompt[request] + requests.output[request]
    has_room = replicas.reserved[place] + need <= engine.cache
    return bool(replicas.seated[place] == 0 or (replicas.seated[place] < engine.seats and has_room))


def step(engine: Engine, requests: Requests, replicas: Replicas, place: int) -> None:
    """One step of one replica."""
    room = engine.budget - replicas.decoding[place]
    prompt_tokens, attention, begun = 0, 0.0, NOBODY
    while replicas.waiting[place] > 0 and room > 0:
        request = replicas.head[place]
        if replicas.read[place] == 0:
            if not may_begin(engine, requests, replicas, place, request):
                break
            replicas.seated[place] += 1
            replicas.reserved[place] += requests.prompt[request] + requests.output[request]
        chunk = min(room, requests.prompt[request] - replicas.read[place])
        attention += chunk * (replicas.read[place] + 0.5 * chunk)
        room -= chunk
        prompt_tokens += chunk
        replicas.read[place] += chunk
        if replicas.read[place] == requests.prompt[request]:
            replicas.head[place] = requests.after[request]
            replicas.waiting[place] -= 1
            replicas.read[place] = 0
            requests.after[request] = begun
            begun = request
    duration = (
        engine.step_s
        + engine.sequence_s * replicas.decoding[place]
        + engine.context_s * replicas.context[place]
        + engine.prompt_s * prompt_tokens
        + engine.attention_s * attention
    )
    replicas.clock[place] += duration
    replicas.busy[place] += duration
    replicas.steps[place] += 1
    replicas.prompts[place] += prompt_tokens
    replicas.outputs[place] += replicas.decoding[place]
    replicas.context[place] += replicas.decoding[place]
    end_those_due(requests, replicas, place)
    give_first_tokens(requests, replicas, place, begun)


def coast(engine: Engine, replicas: Replicas, place: int, until: float) -> None:
    """The steps before `until` that only decode and end nobody: most of them, hence apart and on local numbers."""
    decoding, context = replicas.decoding[place], replicas.context[place]
    clock, steps = replicas.clock[place], replicas.steps[place]
    begin = steps
    fixed = engine.step_s + engine.sequence_s * decoding
    while clock < until and replicas.ending[place, (steps + 1) % RING] == NOBODY:
        clock += fixed + engine.context_s * context
        context += decoding
        steps += 1
    replicas.busy[place] += clock - replicas.clock[place]
    replicas.outputs[place] += decoding * (steps - begin)
    replicas.context[place], replicas.clock[place], replicas.steps[place] = context, clock, steps


def end_those_due(requests: Requests, replicas: Replicas, place: int) -> None:
    """Whose last token this step made."""
    slot = replicas.steps[place] % RING
    request = replicas.ending[place, slot]
    replicas.ending[place, slot] = NOBODY
    while request != NOBODY:
        replicas.decoding[place] -= 1
        replicas.context[place] -= requests.prompt[request] + requests.output[request]
        leave(requests, replicas, place, request)
        request = requests.after[request]


def leave(requests: Requests, replicas: Replicas, place: int, request: int) -> None:
    """A request has all of its tokens."""
    requests.finish[request] = replicas.clock[place]
    replicas.seated[place] -= 1
    replicas.reserved[place] -= requests.prompt[request] + requests.output[request]
    replicas.finished[place] += 1


def give_first_tokens(requests: Requests, replicas: Replicas, place: int, begun: int) -> None:
    """Those whose prompts were read to the end in this step, as a list."""
    request = begun
    while request != NOBODY:
        following = requests.after[request]
        requests.first[request] = replicas.clock[place]
        replicas.outputs[place] += 1
        if requests.output[request] <= 1:
            leave(requests, replicas, place, request)
        else:
            replicas.decoding[place] += 1
            replicas.context[place] += requests.prompt[request] + 1
            slot = (replicas.steps[place] + requests.output[request] - 1) % RING
            requests.after[request] = replicas.ending[place, slot]
            replicas.ending[place, slot] = request
        request = following


def outstanding(replicas: Replicas, place: int) -> int:
    """Requests of a replica that have not all of their tokens; one that is half read is seated and waits."""
    half_read = 1 if replicas.read[place] > 0 else 0
    return int(replicas.seated[place] + replicas.waiting[place] - half_read)


def run_to(engine: Engine, requests: Requests, replicas: Replicas, time: float) -> None:
    """Every replica steps until its clock has reached `time`; what starts comes up, what has drained ends."""
    for place in range(len(replicas.phase)):
        if replicas.phase[place] == OFF:
            continue
        if replicas.phase[place] == STARTING:
            if replicas.ready[place] > time:
                continue
            replicas.phase[place] = UP
            replicas.clock[place] = replicas.ready[place]
        while replicas.clock[place] < time:
            if outstanding(replicas, place) == 0:
                break
            if replicas.waiting[place] == 0:
                coast(engine, replicas, place, time)
            if replicas.clock[place] < time:
                step(engine, requests, replicas, place)
        if replicas.phase[place] == DRAINING and outstanding(replicas, place) == 0:
            replicas.phase[place] = OFF


def spread(number: int, among: int) -> int:
    """A choice among `among` that looks random and is the same for the same number."""
    mixed = (number * 2654435761 + 12345) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = (mixed * 22468229) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 13)) % among


def chosen(engine: Engine, replicas: Replicas, request: int) -> int:
    """Where a request goes, or NOBODY."""
    ups = np.flatnonzero(replicas.phase == UP)
    if len(ups) == 0:
        return NOBODY
    one, other = int(ups[spread(2 * request, len(ups))]), int(ups[spread(2 * request + 1, len(ups))])
    best = one if outstanding(replicas, one) <= outstanding(replicas, other) else other
    if outstanding(replicas, best) < engine.ongoing:
        return best
    for place in ups:
        if outstanding(replicas, int(place)) < outstanding(replicas, best):
            best = int(place)
    return best if outstanding(replicas, best) < engine.ongoing else NOBODY


def dispatch(engine: Engine, requests: Requests, replicas: Replicas, now: float) -> None:
    """Those at the router go to replicas, first come first served, as long as one has a place."""
    while requests.cursor[0] < requests.cursor[1]:
        place = chosen(engine, replicas, requests.cursor[0])
        if place == NOBODY:
            break
        enqueue(requests, replicas, place, requests.cursor[0], now)
        requests.cursor[0] += 1


def advance(engine: Engine, requests: Requests, replicas: Replicas, now: float, until: float) -> None:
    """All that happens from `now` to `until`."""
    time, count = now, len(requests.arrival)
    while time < until:
        target = until if requests.cursor[0] == requests.cursor[1] else min(until, time + _SLICE_S)
        arrived = requests.cursor[1]
        if arrived < count and requests.arrival[arrived] < target:
            target = max(time, requests.arrival[arrived])
        run_to(engine, requests, replicas, target)
        while requests.cursor[1] < count and requests.arrival[requests.cursor[1]] <= target:
            requests.cursor[1] += 1
        dispatch(engine, requests, replicas, target)
        time = target


def observe(requests: Requests, replicas: Replicas, row: Floats) -> None:
    """Writes what a fleet shows, in the order of fleet.FIELDS."""
    row[:] = 0.0
    for place in range(len(replicas.phase)):
        phase = replicas.phase[place]
        row[8] += replicas.prompts[place]
        row[9] += replicas.outputs[place]
        row[10] += replicas.finished[place]
        row[11] += replicas.busy[place]
        if phase == OFF:
            continue
        row[0] += 1.0 if phase == UP else 0.0
        row[1] += 1.0 if phase == STARTING else 0.0
        row[2] += 1.0
        half_read = 1 if replicas.read[place] > 0 else 0
        row[3] += replicas.seated[place]
        row[4] += replicas.waiting[place] - half_read
        row[6] += replicas.context[place]
    row[5] = requests.cursor[1] - requests.cursor[0]
    row[7] = requests.cursor[1]


def record(
    engine: Engine, requests: Requests, replicas: Replicas, sums: Floats, rows: Floats, begin: int, end: int
) -> None:
    """Seconds `begin` to `end`: rows[i] is what is seen at second i, sums[i] the sum of all rows up to it."""
    for second in range(begin, end):
        advance(engine, requests, replicas, float(second), float(second + 1))
        observe(requests, replicas, rows[second + 1])
        sums[second + 1] = sums[second] + rows[second + 1]


numba.jit_module(nopython=True, cache=True, error_model="numpy")
