"""The API server refuses, falls silent, breaks off or lies while a service is changed; healed, it converges."""

import os
import time
from typing import Final

import pytest

from hack.cluster.poll import wait_until
from tests.chaos.operator.faults import (
    is_any,
    is_write,
    on,
    refuses,
    resets,
    swallows,
    torn_watch,
    truncates,
    watch_error,
)
from tests.chaos.operator.proxy import Call, Rule
from tests.chaos.operator.rig import SOON, Rig
from tests.chaos.operator.state import changes, state
from tests.chaos.operator.workloads import WORKLOADS, new_namespace, removed

LONG: Final = bool(os.environ.get("LONG"))
TRIED: Final = ("409 writes", "503 everything", "401 everything", "black hole", "truncated writes", "torn watches")
"""In the short form."""
LASTS: Final = (5, 60, 300) if LONG else (3,)
"""Seconds that a fault lasts."""
WORKLOAD: Final = WORKLOADS["engine change"]
HEALED: Final = 30.0 if LONG else SOON
"""Seconds to converge once a fault has gone; the short form runs where others do."""


def _is_list_or_watch(call: Call) -> bool:
    return call.verb in ("list", "watch")


def _is_watch(call: Call) -> bool:
    return call.verb == "watch"


FAULTS: Final[dict[str, Rule]] = {
    "409 writes": on(is_write, refuses(409)),
    "422 writes": on(is_write, refuses(422)),
    "429 everything": on(is_any, refuses(429, **{"Retry-After": "1"})),
    "500 everything": on(is_any, refuses(500)),
    "503 everything": on(is_any, refuses(503)),
    "403 writes": on(is_write, refuses(403)),
    "403 reads": on(_is_list_or_watch, refuses(403)),
    "401 everything": on(is_any, refuses(401)),
    "reset everything": on(is_any, resets),
    "black hole": on(is_any, swallows),
    "truncated writes": on(is_write, truncates),
    "watches in error": on(_is_watch, watch_error(500)),
    "torn watches": on(_is_watch, torn_watch),
    "truncated lists": on(lambda call: call.verb == "list", truncates),
}


@pytest.mark.parametrize("lasts", LASTS)
@pytest.mark.parametrize("name", FAULTS if LONG else TRIED)
def test_it_converges_once_a_fault_is_healed(name: str, lasts: float, site: Rig) -> None:
    namespace = new_namespace(site.client)
    WORKLOAD.prepare(site.client, namespace)
    site.settle()
    begun = len(site.proxy.struck)
    site.proxy.rule = FAULTS[name]
    WORKLOAD.change(site.client, namespace)
    site.proxy.cut_watches()
    wait_until(lambda: len(site.proxy.struck) > begun, "the fault has happened", timeout=SOON)
    time.sleep(lasts)  # how long it lasts is what is tested
    site.heal()
    _converges(site, namespace)
    made = changes(site.logged(), namespace)
    assert max(made.values()) == 1, made
    removed(site.client, WORKLOAD, namespace)


def _converges(site: Rig, namespace: str) -> None:
    """As an engine change ends where nothing is wrong; by itself, or started again where it ended by itself."""

    def is_there() -> bool:
        if not site.operator.is_running:  # as kubelet does; red liveness, three relists later, must not be needed
            site.start()
        found = state(site.client, namespace)
        status = found["llmservices m"].get("status", {})
        revisions = [name.split()[1] for name in found if name.startswith("rayservices")]
        spoken = {item["type"]: item["status"] for item in status.get("conditions", [])}
        return (
            spoken.get("Ready") == "True"
            and status["observedGeneration"] == 2
            and revisions == [status["revision"]["active"]]
        )

    wait_until(is_there, "it has converged", timeout=HEALED, log=site.operator.log)
