"""What watches say comes late, twice, in the wrong order or never, and the operator is blind while a name is reused."""

import itertools
import os
from collections.abc import Callable
from typing import Final

import pytest

from hack.cluster.poll import wait_until
from tests.chaos.operator.faults import Step, Tampered, doubled, dropped, expired, late, reordered
from tests.chaos.operator.rig import SOON, Rig
from tests.chaos.operator.state import changes, differences, state
from tests.chaos.operator.workloads import WORKLOADS, new_namespace, removed
from tests.integration.client import CHILDREN

LONG: Final = bool(os.environ.get("LONG"))
TRIED: Final = ("5 late", "doubled", "reordered", "expired")
"""In the short form."""
KINDS: Final = frozenset({"llmservices", *CHILDREN})
DROPPED_OF: Final = sorted(KINDS) if LONG else ["rayservices"]
STEP: Final = 1 if LONG else 3
"""Each event of a kind is dropped in a run of its own; else each third."""
WORKLOAD: Final = WORKLOADS["engine change"]
TAMPERED: Final[dict[str, Callable[[], Step]]] = {
    "1 late": late(1),
    "5 late": late(5),
    "50 late": late(50),
    "doubled": doubled,
    "reordered": reordered,
    "expired": expired(1),
}


@pytest.mark.parametrize("name", TAMPERED if LONG else TRIED)
def test_it_converges_on_watches_that_are_tampered_with(name: str, site: Rig) -> None:
    assert _tampered(site, Tampered(KINDS, TAMPERED[name]), _left(site)) > 0, "nothing was tampered with"


@pytest.mark.parametrize("plural", DROPPED_OF)
def test_it_converges_without_any_single_event(plural: str, site: Rig) -> None:
    reference = _left(site)

    def happened(number: int) -> bool:
        return _tampered(site, Tampered(frozenset({plural}), dropped(number)), reference) > 0

    beyond = next(number for number in itertools.count(1, STEP) if not happened(number))
    assert beyond > 1, "no event was dropped"


def _tampered(site: Rig, tampered: Tampered, reference: dict[str, object]) -> int:
    """Run with such watches and judge what is left; how many events were not heard as they came."""
    site.proxy.events = tampered.events
    site.proxy.cut_watches()
    namespace, left = _run(site, lambda namespace: state(site.client, namespace) == reference)
    assert "\n".join(differences(left, reference)) == ""
    assert max(changes(site.logged(), namespace).values()) == 1
    removed(site.client, WORKLOAD, namespace)
    site.heal()
    site.settle()
    return tampered.count


@pytest.mark.parametrize("plural", ["llmservices", "rayservices"])
def test_a_name_that_is_used_again_while_it_is_blind(plural: str, site: Rig) -> None:
    namespace = new_namespace(site.client)
    WORKLOAD.prepare(site.client, namespace)
    site.settle()
    name = site.client.names(plural, namespace)[0]
    before = site.client.find(plural, namespace, name) or {}
    tampered = Tampered(frozenset({plural}), lambda: lambda _: [])
    site.proxy.events = tampered.events
    site.proxy.cut_watches()
    site.client.delete(plural, namespace, name)
    again = {key: before[key] for key in ("apiVersion", "kind", "spec")}
    if plural == "llmservices":
        wait_until(lambda: not site.client.find(plural, namespace, name), "it is gone", timeout=SOON)
        site.client.create(plural, again | {"metadata": {"name": name}}, namespace)

    def is_anew() -> bool:
        found = site.client.find(plural, namespace, name) or before
        owners = [each["uid"] for each in found["metadata"].get("ownerReferences", [])]
        there = {each["metadata"]["uid"] for each in site.client.items("llmservices", namespace)}
        return found["metadata"]["uid"] != before["metadata"]["uid"] and set(owners) <= there

    wait_until(is_anew, f"{plural} {name} is another", timeout=SOON)
    wait_until(lambda: tampered.count, "an event was withheld", timeout=SOON)
    site.settles(lambda: _ready(site, namespace))
    assert _ready(site, namespace)
    removed(site.client, WORKLOAD, namespace)


def _left(site: Rig) -> dict[str, object]:
    namespace, left = _run(site, lambda namespace: _ready(site, namespace))
    removed(site.client, WORKLOAD, namespace)
    return left


def _run(site: Rig, is_done: Callable[[str], bool]) -> tuple[str, dict[str, object]]:
    namespace = new_namespace(site.client)
    WORKLOAD.prepare(site.client, namespace)
    WORKLOAD.change(site.client, namespace)
    site.settles(lambda: is_done(namespace))
    return namespace, state(site.client, namespace)


def _ready(site: Rig, namespace: str) -> bool:
    """Ready, at the newest generation, and nothing of an older one left."""
    service = site.client.find("llmservices", namespace, "m") or {"metadata": {}}
    status = service.get("status", {})
    spoken = {item["type"]: item["status"] for item in status.get("conditions", [])}
    is_new = bool(status) and status["observedGeneration"] == service["metadata"]["generation"]
    return spoken.get("Ready") == "True" and is_new and set(status["revision"]) == {"active"}
