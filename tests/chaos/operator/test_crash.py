"""The operator is killed at every write of every workload, in three ways; what comes of it is as if it had not been.

Compared with a run without a kill: the objects with identities and times masked, how often each was created and
deleted, and the Events: a kill may lose one, and may show a step that is else over too soon, but doubles none.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pytest

from hack.cluster.poll import wait_until
from llmservice_operator.observed import rfc3339
from tests.chaos.operator.faults import at_write, dies_after, dies_before, dies_unanswered
from tests.chaos.operator.proxy import Fault
from tests.chaos.operator.rig import SOON, Rig
from tests.chaos.operator.state import Json, changes, differences, last_told, ownerless, state, told
from tests.chaos.operator.workloads import WORKLOADS, Workload, new_namespace, removed

WAYS: Final[dict[str, Callable[[Callable[[], None]], Fault]]] = {
    "before": dies_before,
    "unanswered": dies_unanswered,
    "after": dies_after,
}
LONG: Final = bool(os.environ.get("LONG"))
"""Every way at every write; else one way at every third, the next at the next, and of a few workloads."""
STEP: Final = 1 if LONG else 3
TRIED: Final = tuple(WORKLOADS) if LONG else ("engine change", "delete", "key rotated")


@dataclass(frozen=True)
class Outcome:
    """What a workload left. `objects`: how many its change, without what prepared it, made and deleted."""

    state: Json
    changes: Counter[str]
    told: Counter[str]
    objects: int


@pytest.mark.parametrize("name", TRIED)
def test_killed_at_any_write_it_ends_as_if_it_had_not_been(name: str, site: Rig) -> None:
    reference = _reference(site, WORKLOADS[name])
    # How many writes there are depends on what status comes in time to be told together.
    numbers = itertools.count(1, STEP)
    beyond = next(number for number in numbers if not _killed_at(site, WORKLOADS[name], number, reference))
    assert beyond > max(reference.objects, 1), "fewer writes than objects that are made or deleted"


def _killed_at(site: Rig, workload: Workload, number: int, reference: Outcome) -> bool:
    """Killed in the ways that are asked for; False where there was no such write in any of them."""
    ways = list(WAYS) if LONG else [list(WAYS)[number // STEP % len(WAYS)]]
    killed = [_killed(site, workload, number, way, reference) for way in ways]
    return any(killed)


def _reference(site: Rig, workload: Workload) -> Outcome:
    namespace, before = _begun(site, workload)
    site.settle(relists=10)  # longer than any wait of the operator's own
    wait_until(lambda: ownerless(site.client, namespace) == [], "what was owned is gone too", timeout=SOON)
    return _outcome(site, workload, namespace, before)


def _killed(site: Rig, workload: Workload, number: int, way: str, reference: Outcome) -> bool:
    """Whether it was killed; whatever then happened is judged."""
    site.proxy.struck.clear()
    rule = at_write(number, WAYS[way](site.operator.kill))
    namespace, before = _begun(site, workload, lambda: setattr(site.proxy, "rule", rule))
    site.settles(lambda: state(site.client, namespace) == reference.state)
    killed = not site.operator.is_running
    assert len(site.proxy.struck) == killed
    site.heal()
    if killed:
        site.start()
        site.settles(lambda: state(site.client, namespace) == reference.state)
    found = _outcome(site, workload, namespace, before)
    where = f"killed {way} write {number}: {', '.join(map(str, site.proxy.struck))}"
    assert "\n".join(differences(found.state, reference.state)) == "", where
    assert found.changes == reference.changes, where
    doubled = {what: count for what, count in found.told.items() if count > max(reference.told[what], 1)}
    assert doubled == {}, where
    return killed


def _begun(site: Rig, workload: Workload, arm: Callable[[], None] = lambda: None) -> tuple[str, int]:
    """The namespace in which the change was made, and what had been made there before; `arm` is called between."""
    namespace = new_namespace(site.client)
    workload.prepare(site.client, namespace)
    site.settle()
    # The same said twice in a second is one Event, which the run that is compared with would have and another not.
    wait_until(lambda: last_told(site.client, namespace) < rfc3339(datetime.now(UTC)), "a new second", timeout=SOON)
    before = changes(site.logged(), namespace).total()
    arm()
    workload.change(site.client, namespace)
    return namespace, before


def _outcome(site: Rig, workload: Workload, namespace: str, before: int) -> Outcome:
    made = changes(site.logged(), namespace)
    found = Outcome(state(site.client, namespace), made, told(site.client, namespace), made.total() - before)
    removed(site.client, workload, namespace)
    return found
