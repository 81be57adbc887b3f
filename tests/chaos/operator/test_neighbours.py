"""One object that can never be reconciled costs its neighbours nothing, and is not retried in a hot loop.

Beside it and without it in turns, on the same machine at the same time. The long form also measures how long each
neighbour waits for its last child; what two lots without it differ by anyway is allowed for by taking the slower one.
"""

import os
import time
from dataclasses import dataclass, field
from typing import Final

from hack.cluster.poll import wait_until
from llmservice_operator.workqueue import LONGEST_DELAY
from tests.bench.control_plane.figures import quantile, waits
from tests.chaos.operator.faults import on, refuses
from tests.chaos.operator.proxy import Call, no_fault
from tests.chaos.operator.rig import SOON, Rig
from tests.chaos.operator.state import changes
from tests.chaos.operator.workloads import SPEC, new_namespace
from tests.integration.client import CHILDREN, condition
from tests.integration.operator_run import USER
from tests.integration.services import Service

LONG: Final = bool(os.environ.get("LONG"))
TURNS: Final = 20 if LONG else 1
AT_ONCE: Final = 25 if LONG else 20
"""Neighbours made in a turn: 500 in the long form."""
BESIDE: Final = "beside"
LOTS: Final = ("alone", BESIDE, "alone again") if LONG else ("alone", BESIDE)
POISONED: Final = "poisoned"
DOUBLED: Final = 9
"""Tries until the wait between them, which doubles, is the longest."""


@dataclass
class Lot:
    """What neighbours cost: `writes` for all, and seconds from making each to its last child."""

    writes: int = 0
    seconds: list[float] = field(default_factory=list)


def _is_poisoned(call: Call) -> bool:
    return call.is_write and call.name.startswith(POISONED)


def test_a_poisoned_object_costs_its_neighbours_nothing(site: Rig) -> None:
    lots = {name: Lot() for name in LOTS}
    begun, since = len(site.proxy.struck), time.monotonic()
    for turn in range(TURNS):
        for name in LOTS[turn % len(LOTS) :] + LOTS[: turn % len(LOTS)]:
            site.proxy.rule = on(_is_poisoned, refuses(500)) if name == BESIDE else no_fault
            _neighbours(site, lots[name], poisoned=name == BESIDE)
    refused = (len(site.proxy.struck) - begun) / TURNS
    assert refused >= 3, "the poison was not tried"
    tries = DOUBLED + (time.monotonic() - since) / LONGEST_DELAY
    assert refused <= tries * len(CHILDREN), "it is tried in a hot loop"
    alone = [lot for name, lot in lots.items() if name != BESIDE]
    most = max(lot.writes for lot in alone)
    assert lots[BESIDE].writes <= most * 1.1, "by chance two turns of a status are one write, but not so often"
    if LONG:
        p99 = {name: round(quantile(lot.seconds, 0.99), 4) for name, lot in lots.items()}
        print(f"seconds to the last child, p99 of {AT_ONCE * TURNS}: {p99}")
        assert p99[BESIDE] <= max(p99[name] for name in LOTS if name != BESIDE) * 1.1, p99


def _neighbours(site: Rig, lot: Lot, *, poisoned: bool) -> None:
    """Make as many as there are at once, and add what they cost until all of them are Ready to the lot."""
    namespace, begun = new_namespace(site.client), len(site.proxy.calls)
    if poisoned:
        Service(site.client, namespace, POISONED, **SPEC)
        wait_until(lambda: any(map(_is_poisoned, site.proxy.calls[begun:])), "the poison is tried", timeout=SOON)
    for index in range(AT_ONCE):
        Service(site.client, namespace, f"good{index}", **SPEC)

    def ready() -> bool:
        found = site.client.items("llmservices", namespace)
        return sum(condition(each, "Ready")[0] == "True" for each in found) == AT_ONCE

    wait_until(ready, "all the good ones are ready", timeout=10 * SOON, interval=0.5)
    changed = changes(site.logged(), namespace)
    assert changed
    assert all(count == 1 and what.startswith("created") for what, count in changed.items()), changed
    calls = [call for call in site.proxy.calls[begun:] if call.is_write and call.namespace == namespace]
    lot.writes += sum(not _is_poisoned(call) and call.plural != "events" for call in calls)
    found = waits(site.audit.read(), USER, len(CHILDREN))
    seconds = [wait for (where, _), wait in found.items() if where == namespace]
    assert len(seconds) == AT_ONCE
    lot.seconds += seconds
    for each in site.client.names("llmservices", namespace):
        site.client.delete("llmservices", namespace, each)
