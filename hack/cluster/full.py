"""The full cluster on this machine: control plane, one node, CoreDNS, KubeRay, Traefik.

    control plane ── certificates ── kubelet ── containerd ── pods
                                     kube-proxy (nftables)
All state lies under one folder; `down` ends what runs, undoes mounts, network and control groups, deletes the folder.
"""

import functools
import shutil
from pathlib import Path

from hack.cluster import binaries, coredns, host, kuberay, machine, network, process, traefik, volumes, workload
from hack.cluster.cache import BUILD, cache_root, locked, state_root
from hack.cluster.cgroups import ControlGroup
from hack.cluster.control_plane import ControlPlane, remove
from hack.cluster.images import oci, programs
from hack.cluster.node import Node
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps
from hack.cluster.settings import Settings

PORT = 6443
NODE_SECONDS = 60.0
ADDON_SECONDS = 90.0
KUBECONFIG = BUILD / "kubeconfig"
ADDONS = ((coredns.NAMESPACE, coredns.NAME), (kuberay.NAMESPACE, kuberay.NAME), (traefik.NAMESPACE, traefik.NAME))


def up(steps: Steps | None = None) -> Path:
    """Start the cluster, or bring one that runs up to date; return its kubeconfig."""
    shown = steps or Steps()
    with locked("full"):
        if not running():
            machine.require(shown)
            binaries.ensure([*binaries.CONTROL_PLANE, *binaries.NODE, "kuberay", "coredns"], shown)
            _clean()
            _start(shown)
        _addons(shown)
    return KUBECONFIG


def down(steps: Steps | None = None) -> None:
    """End the cluster and leave nothing but the cache."""
    with locked("full"), (steps or Steps()).step("stop the cluster"):
        _clean()


def running() -> bool:
    """Whether every process runs and the node is Ready."""
    if not process.records(_node().state) or not _plane(Steps.quiet()).running:
        return False
    return all(record.alive for record in process.records(_node().state)) and _node().ready(_plane(Steps.quiet()).api)


def status() -> list[str]:
    """One line for each process and each addon."""
    folders = (plane_folder(), _node().state)
    found = [
        f"{record.name}: {'running' if record.alive else 'ended'} (pid {record.pid}, {record.log})"
        for folder in folders
        for record in process.records(folder)
    ]
    if not running():
        return [*found, "cluster: down"]
    api = _plane(Steps.quiet()).api
    for namespace, name in ADDONS:
        answer = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
        ready = answer["status"].get("readyReplicas", 0) if answer else 0
        found.append(f"{namespace}/{name}: {'ready' if ready else 'not ready'}")
    return [*found, f"cluster: up, http://{machine.address()}/, KUBECONFIG={KUBECONFIG}"]


def leftovers() -> list[str]:
    """What a cluster that is down has left on the host; nothing, when all is well."""
    root = state_root() / "full"
    ours = (network.TABLE, network.KUBE_PROXY_TABLE)
    found = [f"file {root}"] if root.exists() else []
    found += [f"mount {point}" for point in host.mounts_below([root, cache_root()])]
    found += [f"process {pid}" for pid in ControlGroup().members()]
    found += [f"control group {folder}" for folder in ControlGroup().hierarchies() if folder.exists()]
    found += [f"nftables table {table}" for table in network.tables() if table.split(" ", 1)[1] in ours]
    return found


def plane_folder() -> Path:
    return state_root() / "full" / "control-plane"


def _before() -> Path:
    return state_root() / "full" / "before.json"


@functools.cache
def _node() -> Node:
    return Node(state_root() / "full" / "node", machine.address())


def _plane(steps: Steps) -> ControlPlane:
    settings = Settings(bind="0.0.0.0", advertise=_node().address, scheduler=True)
    return ControlPlane(directory=plane_folder(), settings=settings, port=PORT, steps=steps)


def _clean() -> None:
    """Undo all of a cluster, whole or half started."""
    _node().stop()
    remove(plane_folder())
    host.restore(_before())
    shutil.rmtree(state_root() / "full", ignore_errors=True)
    KUBECONFIG.unlink(missing_ok=True)


def _start(steps: Steps) -> None:
    node, plane = _node(), _plane(steps)
    host.remember(_before())
    with steps.step("containerd ready", node.log("containerd")):
        node.start_containerd()
    for name in programs.NAMES:
        load_program(name, steps)
    plane.start()
    plane.apply([_kubelet_access()])
    with steps.step("node ready", node.log("kubelet")):
        node.start_kubelet(plane)
        node.start_proxy(plane)
        wait_until(lambda: node.ready(plane.api), "node ready", timeout=NODE_SECONDS)
    KUBECONFIG.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(plane.kubeconfig, KUBECONFIG)


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


def _kubelet_access() -> workload.Object:
    """What the API server may ask of kubelets: logs, exec, metrics."""
    subject = workload.user_subject("kube-apiserver")
    return workload.cluster_binding("kube-apiserver-kubelet", "system:kubelet-api-admin", subject)


def _addons(steps: Steps) -> None:
    api = _plane(steps).api
    with steps.step("CoreDNS, KubeRay, Traefik ready", _node().log("kubelet")):
        volumes.folder().mkdir(parents=True, exist_ok=True)
        api.apply(
            [
                *coredns.objects(programs.reference("coredns")),
                *traefik.objects(programs.reference("traefik"), _node().address),
                volumes.storage_class(),
            ]
        )
        if not kuberay.served(api):
            kuberay.install_crds(api)
        wait_until(lambda: kuberay.served(api), "RayService served", timeout=ADDON_SECONDS)
        api.apply([*kuberay.rbac(), kuberay.deployment(programs.reference("kuberay"))])
        for namespace, name in ADDONS:
            rollout = ("rollout", "status", f"deployment/{name}", f"--timeout={ADDON_SECONDS:.0f}s")
            api.kubectl("--namespace", namespace, *rollout)
