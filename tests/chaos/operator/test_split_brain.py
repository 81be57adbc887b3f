"""A leader that is cut off, or sleeps past its Lease: once another has written, nothing of it is written any more."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from hack.cluster.poll import wait_until
from tests.chaos.operator.audit import Write
from tests.chaos.operator.faults import is_any, on, swallows
from tests.chaos.operator.proxy import Proxy, background, no_fault
from tests.chaos.operator.rig import SOON, Rig
from tests.chaos.operator.subject import LEASE, Subject, lease_lapses, subject
from tests.chaos.operator.workloads import WORKLOADS, new_namespace, removed
from tests.integration.client import Client, condition

LEASE_S: Final = 15.0
TAKEOVER: Final = 20.0
"""Seconds from the fault to the first write of the other, which takes the Lease 15 to 17 s after its last renewal."""
OLD: Final = "old-leader"
NEW: Final = "new-leader"
WORKLOAD: Final = WORKLOADS["engine change"]


@contextmanager
def _cut_off(_: Subject, proxy: Proxy) -> Iterator[None]:
    begun = len(proxy.struck)
    proxy.rule = on(is_any, swallows)
    proxy.cut_watches()
    yield
    assert len(proxy.struck) > begun, "it was not cut off"
    proxy.rule = no_fault


@contextmanager
def _asleep(leader: Subject, _: Proxy) -> Iterator[None]:
    assert leader.pid is not None
    os.kill(leader.pid, signal.SIGSTOP)
    yield
    assert not leader.is_live, "it did not sleep"
    os.kill(leader.pid, signal.SIGCONT)


FAULTS: Final[Mapping[str, Callable[[Subject, Proxy], AbstractContextManager[None]]]] = {
    "cut off": _cut_off,
    "asleep": _asleep,
}


@pytest.mark.parametrize("name", FAULTS)
def test_once_another_leads_nothing_is_written_by_the_old(name: str, site: Rig, tmp_path: Path) -> None:
    site.operator.kill()
    lease_lapses(site.client)
    with _two(site, tmp_path) as (leader, standby, proxy):
        namespace = new_namespace(site.client)
        WORKLOAD.prepare(site.client, namespace)
        with FAULTS[name](leader, proxy):
            begun = time.time()
            WORKLOAD.change(site.client, namespace)
            wait_until(lambda: _by(NEW, site), "the standby writes", timeout=TAKEOVER + SOON, log=standby.log)
        wait_until(lambda: not leader.is_running, "the old leader ends", timeout=SOON, log=leader.log)
        wait_until(lambda: _is_carried_out(site.client, namespace), "the change is carried out", timeout=SOON)
        removed(site.client, WORKLOAD, namespace)
    first = min(write.begun for write in _by(NEW, site))
    print(f"{name}: the standby writes {first - begun:.1f} s after the fault")
    assert first - begun <= TAKEOVER
    assert max(write.at for write in _by(OLD, site)) < first


@contextmanager
def _two(site: Rig, folder: Path) -> Iterator[tuple[Subject, Subject, Proxy]]:
    """An operator that leads, by way of a proxy of its own, and one that stands by."""
    site.audit.forget()
    with background() as loop:
        proxy, stopped = Proxy(Client(site.plane.user(OLD, ["system:masters"]))), asyncio.Event()
        serving = asyncio.run_coroutine_threadsafe(proxy.serve(stopped), loop.loop)
        wait_until(lambda: proxy.port, "the proxy listens", timeout=SOON)
        try:
            with _started(proxy.kubeconfig(folder), folder / OLD) as leader:
                wait_until(lambda: site.client.find(*LEASE), "it leads", timeout=SOON, log=leader.log)
                with _started(site.plane.user(NEW, ["system:masters"]), folder / NEW) as standby:
                    yield leader, standby, proxy
        finally:
            loop.loop.call_soon_threadsafe(stopped.set)
            serving.result(timeout=SOON)
            lease_lapses(site.client)


@contextmanager
def _started(kubeconfig: Path, folder: Path) -> Iterator[Subject]:
    folder.mkdir()
    with subject(kubeconfig, folder, relist_seconds=1, lease_seconds=LEASE_S) as found:
        found.start()
        yield found


def _by(user: str, site: Rig) -> list[Write]:
    return [write for write in site.audit.read() if write.user == user]


def _is_carried_out(client: Client, namespace: str) -> bool:
    service = client.find("llmservices", namespace, "m") or {}
    status = service.get("status", {})
    return (
        condition(service, "Ready")[0] == "True"
        and status["observedGeneration"] == 2
        and client.names("rayservices", namespace) == [status["revision"]["active"]]
    )
