"""The full cluster on this machine: control plane, one node, CoreDNS, KubeRay, Traefik; kind where Docker answers.

    control plane ── certificates ── kubelet ── containerd ── pods
                                     kube-proxy (nftables)
All state lies under one folder; `down` ends what runs, undoes mounts, network and control groups, deletes the folder.
"""

import contextlib
import shutil
from pathlib import Path

from hack.cluster import addons, binaries, engine, host, kind, machine, network, process, workload
from hack.cluster.api import Api
from hack.cluster.cache import BUILD, cache_root, full_state, locked, state_root
from hack.cluster.cgroups import ControlGroup
from hack.cluster.control_plane import ControlPlane, remove
from hack.cluster.failure import ClusterError
from hack.cluster.images import oci, programs
from hack.cluster.node import Node
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps
from hack.cluster.settings import Settings

PORT = 6443
NODE_SECONDS = 60.0
KUBECONFIG = BUILD / "kubeconfig"
PROGRAMS = BUILD / "bin"


def up(steps: Steps | None = None) -> Path:
    """Start the cluster, or bring one that runs up to date; return its kubeconfig."""
    shown = steps or Steps()
    with locked("full"):
        if engine.answers():
            kind.up(shown)
        else:
            _up_here(shown)
        with shown.step("DNS, KubeRay and Traefik ready", _node().log("kubelet")):
            addons.install(Api(KUBECONFIG), address(), dns=not engine.answers())
        link_programs(shown)
    return KUBECONFIG


def link_programs(steps: Steps) -> Path:
    """Put kubectl and helm into one folder that a PATH can name."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    binaries.ensure(("kubectl", "helm"), steps)
    for name in ("kubectl", "helm"):
        (PROGRAMS / name).unlink(missing_ok=True)
        (PROGRAMS / name).symlink_to(binaries.path(name))
    return PROGRAMS


def down(steps: Steps | None = None) -> None:
    """End the cluster, leave nothing but the cache, and make sure of it."""
    with locked("full"), (steps or Steps()).step("stop the cluster"):
        if engine.answers():
            kind.down()
            return
        _clean()
        left = leftovers()
        if left:
            raise ClusterError("down left " + ", ".join(left))


def address() -> str:
    """Where Ingresses are reached."""
    return kind.address() if engine.answers() else machine.address()


def running() -> bool:
    """Whether every process runs and the node is Ready."""
    if engine.answers():
        return engine.cluster_runs()
    node = _node()
    records = process.records(node.state)
    if not _whole().exists() or not records or not all(record.alive for record in records):
        return False
    plane = _plane(Steps.quiet())
    return plane.running and node.ready(plane.api)


def status() -> list[str]:
    """One line for each process and each addon."""
    found = [
        f"{record.name}: {'running' if record.alive else 'ended'} (pid {record.pid}, {record.log})"
        for folder in (plane_folder(), _node().state)
        for record in process.records(folder)
    ]
    if not running():
        return [*found, "cluster: down"]
    return [*found, *addons.status(Api(KUBECONFIG)), f"cluster: up, http://{address()}/, KUBECONFIG={KUBECONFIG}"]


def leftovers() -> list[str]:
    """What a cluster that is down has left on the host; nothing, when all is well."""
    root = folder()
    ours = (network.TABLE, network.KUBE_PROXY_TABLE)
    found = [f"file {root}"] if root.exists() else []
    found += [f"mount {point}" for point in host.mounts_below([root, cache_root() / "containerd"])]
    found += [f"process {pid}" for pid in sorted(ControlGroup().members())]
    found += [f"control group {group}" for group in ControlGroup().hierarchies() if group.exists()]
    found += [f"nftables table {table}" for table in network.tables() if table.split(" ", 1)[1] in ours]
    found += [f"nftables chain {chain}" for chain in network.chains()]
    return found


def folder() -> Path:
    """All state of the full cluster."""
    return full_state()


def plane_folder() -> Path:
    return folder() / "control-plane"


def load_program(name: str, steps: Steps) -> str:
    """Bring one of the cluster's own images into containerd, unless it is there."""
    reference = programs.reference(name)
    runtime = _node().containerd
    if reference in runtime.images():
        return reference
    with steps.step(f"load image {name}"):
        archive = cache_root() / "archives" / f"{name}.tar"
        oci.write(programs.program(name, steps), archive)
        runtime.load(archive)
        archive.unlink()
    return reference


def _node() -> Node:
    return Node(folder() / "node", machine.address())


def _plane(steps: Steps) -> ControlPlane:
    settings = Settings(bind="0.0.0.0", advertise=machine.address(), scheduler=True)
    return ControlPlane(directory=plane_folder(), settings=settings, port=PORT, steps=steps)


def _clean() -> None:
    """Undo all of a cluster, whole or half started."""
    _node().stop()
    remove(plane_folder())
    host.restore(folder() / "before.json")
    shutil.rmtree(folder(), ignore_errors=True)
    with contextlib.suppress(OSError):  # other control planes may have their folders there
        state_root().rmdir()
    KUBECONFIG.unlink(missing_ok=True)


def _up_here(steps: Steps) -> None:
    """Start on this machine what does not run, with all binaries and the addons' images."""
    fresh = not running()
    if fresh:
        machine.require(steps)
        binaries.ensure([*binaries.CONTROL_PLANE, *binaries.NODE, "kuberay", "coredns"], steps)
        _clean()
        host.remember(folder() / "before.json")
        with steps.step("containerd ready", _node().log("containerd")):
            _node().start_containerd()
    for name in programs.NAMES:
        load_program(name, steps)
    if fresh:
        _start(steps)
    KUBECONFIG.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_plane(steps).kubeconfig, KUBECONFIG)


def _start(steps: Steps) -> None:
    node, plane = _node(), _plane(steps)
    plane.start()
    plane.apply([_kubelet_access()])
    with steps.step("node ready", node.log("kubelet")):
        node.start_kubelet(plane)
        node.start_proxy(plane)
        wait_until(lambda: node.ready(plane.api), "node ready", timeout=NODE_SECONDS)
    _whole().touch()


def _whole() -> Path:
    """Made when all has been started: without it, what runs is a start that was cut off."""
    return folder() / "whole"


def _kubelet_access() -> workload.Object:
    """What the API server may ask of kubelets: logs, exec, metrics."""
    subject = workload.user_subject("kube-apiserver")
    return workload.cluster_binding("kube-apiserver-kubelet", "system:kubelet-api-admin", subject)
