"""etcd, kube-apiserver and kube-controller-manager on free ports: a real API without nodes.

    with ControlPlane(kwok=True) as cluster:
        cluster.kubectl("get", "namespaces")

Several run side by side. A folder whose owner has died is cleaned by the next start.
"""

import contextlib
import functools
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hack.cluster import arguments, binaries, kubeconfig, kuberay, kwok, process
from hack.cluster.api import Api
from hack.cluster.cache import state_root
from hack.cluster.certificates import Authority
from hack.cluster.poll import wait_until
from hack.cluster.ports import Ports
from hack.cluster.progress import Steps
from hack.cluster.settings import SERVER_NAMES, Layout, Settings

USERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "admin": ("admin", ("system:masters",)),
    "controller-manager": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "kube-proxy": ("system:kube-proxy", ()),
    "kwok": (kwok.USER, ()),
    "kuberay": (kuberay.USER, ("system:authenticated",)),
}
READY_SECONDS = 90.0
DEFAULT_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"


class ControlPlane:
    """One control plane; `with` starts and stops it, `start` and `stop` serve where its life is not a block."""

    def __init__(
        self,
        *,
        kwok: bool = False,
        kuberay: bool = False,
        audit: bool = False,
        scheduler: bool | None = None,
        directory: Path | None = None,
        settings: Settings | None = None,
        port: int | None = None,
        steps: Steps | None = None,
    ) -> None:
        self.layout = Layout(directory or sides() / _owned_name())
        wanted = settings or Settings()
        self.settings = replace(
            wanted,
            audit=audit or wanted.audit,
            scheduler=kwok or wanted.scheduler if scheduler is None else scheduler,
        )
        self._kwok, self._kuberay, self._port = kwok, kuberay, port
        self._steps = steps or Steps.quiet()
        self._ports = Ports()
        self.api = Api(self.layout.kubeconfig)

    @functools.cached_property
    def authority(self) -> Authority:
        """Signs the certificates of this control plane; made by the first use."""
        return Authority(self.layout.pki)

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self.layout.kubeconfig

    @property
    def audit_log(self) -> Path:
        """One JSON object a line; written only with `audit=True`."""
        return self.layout.audit_log

    @property
    def running(self) -> bool:
        """Whether all that was started still runs and the API answers."""
        records = process.records(self.layout.root)
        return bool(records) and all(record.alive for record in records) and self.api.ready()

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Standard output of kubectl as admin."""
        return self.api.kubectl(*words, stdin=stdin)

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Server-side apply as admin."""
        self.api.apply(objects)

    def user(self, name: str, groups: Iterable[str] = ()) -> Path:
        """The kubeconfig of a user known only from what RBAC grants to `name` and `groups`."""
        return self._write_user(name.replace(":", "-"), name, groups, self.api.server)

    def start(self) -> Self:
        """Start everything and return when it serves."""
        self._build()
        sweep()
        if self.layout.root.exists():
            remove(self.layout.root)
        self.layout.root.mkdir(parents=True, mode=0o700)
        try:
            self._start_all()
        except BaseException:
            process.stop_all(self.layout.root)
            raise
        finally:
            self._ports.release()
        return self

    def stop(self) -> None:
        """End the processes and remove the folder."""
        remove(self.layout.root)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _build(self) -> None:
        extra = [name for name, wanted in (("kwok", self._kwok), ("kuberay", self._kuberay)) if wanted]
        binaries.ensure([*binaries.CONTROL_PLANE, *extra], self._steps)

    def _start_all(self) -> None:
        port, etcd_port = self._port or self._ports.take(), self._ports.take()
        self._identities(port)
        with self._steps.step("etcd and kube-apiserver ready", self.layout.log("kube-apiserver")):
            self._run("etcd", arguments.etcd(self.layout, etcd_port, self.settings))
            self._run("kube-apiserver", arguments.apiserver(self.layout, port, etcd_port, self.settings))
            self._wait(self.api.ready, "kube-apiserver ready", "etcd", "kube-apiserver")
        with self._steps.step("controllers ready", self.layout.log("kube-controller-manager")):
            self._start_controllers()
            self._wait(lambda: self.api.get(DEFAULT_ACCOUNT), "service account made", "kube-controller-manager")
        if self._kuberay:
            with self._steps.step("KubeRay ready", self.layout.log("kuberay")):
                self._start_kuberay()

    def _start_controllers(self) -> None:
        self._run("kube-controller-manager", arguments.controller_manager(self.layout))
        if self.settings.scheduler:
            self._run("kube-scheduler", arguments.scheduler(self.layout))
        if self._kwok:
            self.apply(kwok.rbac())
            self._run("kwok", arguments.kwok(self.layout))

    def _start_kuberay(self) -> None:
        kuberay.install_crds(self.api)
        self.apply(kuberay.rbac())
        self._wait(lambda: kuberay.served(self.api), "RayService served", "kube-apiserver")
        metrics, probe = self._ports.take(), self._ports.take()
        self._run("kuberay", kuberay.arguments(self.layout.user("kuberay"), metrics, probe))
        self._wait(lambda: kuberay.healthy(probe), "KubeRay healthy", "kuberay")

    def _run(self, name: str, words: list[str]) -> None:
        process.start(name, [binaries.path(name), *words], self.layout.root)

    def _wait(self, condition: Any, what: str, *names: str) -> None:
        """Wait for the condition, or for one of the processes to end."""
        watched = [record for record in process.records(self.layout.root) if record.name in names]

        def holds() -> bool:
            for record in watched:
                process.require_alive(record)
            return bool(condition())

        wait_until(holds, what, timeout=READY_SECONDS)

    def _identities(self, port: int) -> None:
        authority = self.authority
        authority.server("etcd", ["127.0.0.1"])
        authority.client("etcd-client", "kube-apiserver")
        authority.client("kubelet-client", "kube-apiserver")
        authority.server("apiserver", [*SERVER_NAMES, self.settings.advertise])
        authority.signing_key("service-accounts")
        if self.settings.audit:
            self.layout.audit_policy.write_text(json.dumps(arguments.audit_policy()))
        server = f"https://{self.settings.advertise}:{port}"
        for file, (user, groups) in USERS.items():
            self._write_user(file, user, groups, server)

    def _write_user(self, file: str, user: str, groups: Iterable[str], server: str) -> Path:
        pair = self.authority.client(f"user-{file}", user, groups)
        config = kubeconfig.render(server, self.authority.certificate, user, pair)
        return kubeconfig.write(self.layout.user(file), config)


def sides() -> Path:
    """The folder of the control planes that live as long as their owner."""
    return state_root() / "side"


def remove(root: Path) -> None:
    """End what runs under `root`, then delete it."""
    if root.exists():
        process.stop_all(root)
        shutil.rmtree(root)
        with contextlib.suppress(OSError):  # not empty while others run
            root.parent.rmdir()


def sweep() -> None:
    """Remove the control planes whose owner has died."""
    for folder in sides().glob("*"):
        if not _owner_lives(folder):
            remove(folder)


def _owned_name() -> str:
    """A folder's name that says who owns it: pid and start time."""
    pid = os.getpid()
    return f"{pid}-{process.start_time(pid)}-{secrets.token_hex(4)}"


def _owner_lives(root: Path) -> bool:
    pid, started, _ = root.name.split("-")
    return process.start_time(int(pid)) == int(started)
