"""The rig: a real API server, the proxy before it, an operator that can be killed, and Ray's stand-in."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import kuberay
from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from llmservice_api.names import API_VERSION
from tests.chaos.operator.audit import Audit, Write
from tests.chaos.operator.proxy import Proxy, as_they_come, background, no_fault
from tests.chaos.operator.ray import RayStandIn
from tests.chaos.operator.subject import LEASE, Subject, lease_lapses, subject
from tests.integration.client import Client
from tests.integration.conftest import INSTALL_NAMESPACE, crds
from tests.integration.operator_run import USER

SOON = 60.0
"""Seconds that anything may take on a busy machine."""


@dataclass
class Rig:
    """What a test drives. All writes of the operator are those of `proxy`."""

    plane: ControlPlane
    client: Client
    proxy: Proxy
    operator: Subject
    audit: Audit

    def logged(self) -> list[Write]:
        """All that the operator has written since the rig stands, as the audit log says."""
        return [write for write in self.audit.read() if write.user == USER]

    def relists(self) -> int:
        """How many complete relists the operator has asked for: IngressClasses come last."""
        lists = (call for call in self.proxy.calls if call.verb == "list" and not call.by_kopf)
        return sum(call.plural == "ingressclasses" for call in lists)

    def after_relists(self, count: int) -> None:
        """Wait until it has relisted so often again, or is dead."""
        goal = self.relists() + count

        def is_over() -> bool:
            return self.relists() >= goal or not self.operator.is_running

        wait_until(is_over, f"{count} more relists", timeout=SOON, log=self.operator.log)

    def settle(self, relists: int = 2) -> None:
        """Wait until it has relisted so often without a write between, or is dead."""

        def silent() -> bool:
            before = len(self.proxy.writes)
            self.after_relists(relists)
            return len(self.proxy.writes) == before

        wait_until(silent, "the operator is silent", timeout=SOON, log=self.operator.log)

    def settles(self, goal: Callable[[], bool]) -> None:
        """Wait for the goal, then for silence; where time is over before, what is there is what is judged."""
        deadline = time.monotonic() + SOON
        while not goal() and self.operator.is_running and time.monotonic() < deadline:
            self.after_relists(1)
        self.settle()

    def heal(self) -> None:
        """No fault any more; watches that were tampered with are begun anew."""
        tampered = self.proxy.events is not as_they_come
        self.proxy.rule, self.proxy.events = no_fault, as_they_come
        if tampered:
            self.proxy.cut_watches()

    def start(self) -> None:
        """Start the operator and wait until it leads and has seen everything.

        The dead one's Lease is taken away, as if it had lapsed: else each of hundreds of kills would wait for it.
        """
        lease_lapses(self.client)
        self.operator.start()
        wait_until(lambda: self.client.find(*LEASE), "it leads", timeout=SOON, log=self.operator.log)
        self.after_relists(1)
        assert self.operator.is_running, self.operator.log.read_text()


def install(plane: ControlPlane) -> None:
    """Our kinds and KubeRay's, and the namespace that the operator is installed in."""
    ours = {crd["metadata"]["name"]: crd for crd in crds()}
    for name, crd in ours.items():
        plane.api.apply_one(f"{kuberay.CRDS}/{name}", crd)
    kuberay.install_crds(plane.api)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": INSTALL_NAMESPACE}}
    plane.api.apply_one(f"/api/v1/namespaces/{INSTALL_NAMESPACE}", namespace)
    paths = [f"/apis/{API_VERSION}/{name.split('.')[0]}" for name in ours]
    wait_until(lambda: all(map(plane.api.get, paths)) and kuberay.served(plane.api), "kinds are served", timeout=SOON)


@contextmanager
def rig(plane: ControlPlane, folder: Path, relist_seconds: float = 0.3) -> Iterator[Rig]:
    """Everything but the operator runs; the test starts that."""
    with background() as loop:
        proxy = Proxy(Client(plane.user(USER, ["system:masters"])))
        stopped = asyncio.Event()
        serving = asyncio.run_coroutine_threadsafe(proxy.serve(stopped), loop.loop)
        wait_until(lambda: proxy.port, "the proxy listens", timeout=SOON)
        client = Client(plane.kubeconfig)
        ray = asyncio.run_coroutine_threadsafe(RayStandIn(client).run(), loop.loop)
        try:
            with subject(proxy.kubeconfig(folder), folder, relist_seconds) as operator:
                with contextlib.closing(Audit(plane.audit_log)) as audit:
                    audit.forget()  # others may have used this API server
                    yield Rig(plane, client, proxy, operator, audit)
        finally:
            died = ray.done()
            ray.cancel()
            loop.loop.call_soon_threadsafe(stopped.set)
            serving.result(timeout=SOON)
        if died:
            ray.result()  # what ended the stand-in, without which nothing came up
