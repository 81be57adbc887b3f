"""At steady state, and after a restart, the operator writes nothing: the API server's audit log says so."""

import os
import time
from typing import Final

from tests.chaos.operator.rig import Rig
from tests.chaos.operator.workloads import WORKLOADS, new_namespace, removed

SECONDS: Final = 120 if os.environ.get("LONG") else 5
SERVICES: Final = ("scale", "key rotated")
"""Workloads whose beginning is a service, and a key, at rest."""


def test_nothing_is_written_at_steady_state_nor_after_a_restart(site: Rig) -> None:
    namespaces = [new_namespace(site.client) for _ in SERVICES]
    for namespace, name in zip(namespaces, SERVICES, strict=True):
        WORKLOADS[name].prepare(site.client, namespace)
    site.settle()
    logged = len(site.logged())
    assert logged > 0
    for restart in (False, True):
        if restart:
            site.operator.kill()
            site.start()
        relisted, end = site.relists(), time.monotonic() + SECONDS
        site.after_relists(3)  # however long they take on a busy machine
        while time.monotonic() < end:
            site.after_relists(1)
        assert site.relists() >= relisted + 3
        assert site.logged()[logged:] == []
    for namespace, name in zip(namespaces, SERVICES, strict=True):
        removed(site.client, WORKLOADS[name], namespace)
