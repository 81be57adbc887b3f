"""Two operators on one API server: one writes, the other takes over, and a leader that wakes up writes nothing."""

import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from tests.integration.client import CHILDREN, Client, an_object
from tests.integration.operator_process import LEASE_S, OperatorProcess, two_operators

Json = dict[str, Any]

TAKEOVER = 3 * LEASE_S
"""Seconds; what is promised is a Lease and a little more."""

pytestmark = pytest.mark.usefixtures("cpu_pool")


def carried_out(client: Client, namespace: str, name: str = "m") -> None:
    """A new LLMService gets its children from whoever leads."""
    client.create("llmservices", an_object("LLMService", name, model={"source": "hf://org/m"}), namespace)
    wait_until(lambda: name in client.names("networkpolicies", namespace), f"{name} has children", timeout=TAKEOVER)


def took_over(standby: OperatorProcess) -> None:
    wait_until(lambda: standby.leads, "the standby leads", timeout=TAKEOVER)


def received(entry: Json) -> datetime:
    return datetime.fromisoformat(entry["requestReceivedTimestamp"])


def test_a_standby_writes_nothing_and_takes_over_from_a_killed_leader(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    with two_operators(control_plane, tmp_path, "killed") as (leader, standby):
        carried_out(client, namespace)
        assert leader.writes()
        leader.signalled(signal.SIGKILL)
        assert leader.ended() == -signal.SIGKILL
        client.create("llmservices", an_object("LLMService", "n", model={"source": "hf://org/n"}), namespace)
        assert standby.writes() == []
        took_over(standby)
        wait_until(lambda: "n" in client.names("networkpolicies", namespace), "n has children", timeout=TAKEOVER)
        gap = received(standby.writes()[0]) - received(leader.entries()[-1])
        assert gap.total_seconds() >= LEASE_S / 3


def test_a_stopped_leader_hands_over_at_once(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    with two_operators(control_plane, tmp_path, "stopped") as (leader, standby):
        leader.signalled(signal.SIGTERM)
        assert leader.ended() == 0
        lease: Any = client.get("/apis/coordination.k8s.io/v1/namespaces/llmservice-system/leases/llmservice-operator")
        assert lease["spec"]["holderIdentity"] == "" or standby.leads
        took_over(standby)
        carried_out(client, namespace)


def test_a_leader_that_wakes_up_after_its_lease_writes_nothing_and_ends(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    with two_operators(control_plane, tmp_path, "paused") as (leader, standby):
        carried_out(client, namespace)
        leader.signalled(signal.SIGSTOP)
        carried_out(client, namespace, "n")  # by the standby, for whom the first is gone
        first = received(standby.writes()[0])
        for plural in CHILDREN:  # what the first hears of as soon as it wakes, and would mend
            for name in client.names(plural, namespace):
                client.merge(plural, namespace, name, {"metadata": {"labels": {"llmservice.io/revision": "x"}}})
        leader.signalled(signal.SIGCONT)
        assert leader.ended() == 1
        assert received(leader.writes()[-1]) < first
        assert "another operator leads" in leader.log.read_text()
        assert standby.leads
