"""The node: containerd, kubelet and kube-proxy, all state in one folder."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import binaries, host, kubeconfig, network, node_config, process
from hack.cluster.api import Api
from hack.cluster.cache import cache_root
from hack.cluster.cgroups import ControlGroup
from hack.cluster.containerd import Containerd
from hack.cluster.control_plane import ControlPlane
from hack.cluster.images import programs
from hack.cluster.poll import wait_until

START_SECONDS = 60.0


@dataclass(frozen=True)
class Node:
    """One node of the full cluster; its name is its address, so that logs and exec find it."""

    state: Path
    address: str

    @property
    def containerd(self) -> Containerd:
        return Containerd(self.state / "containerd")

    def log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    def start_containerd(self) -> None:
        """Start the runtime in our control group; what an ended cluster left in its store goes."""
        runtime = self.containerd
        runtime.state.mkdir(parents=True, exist_ok=True, mode=0o711)
        runtime.root.mkdir(parents=True, exist_ok=True)
        runtime.config_file.write_text(runtime.config(programs.reference("pause")))
        group = ControlGroup()
        group.create()
        network.up(runtime.state)
        record = process.start("containerd", ["containerd", "--config", runtime.config_file], self.state)
        group.add_runtime(record.pid)
        wait_until(runtime.serves, "containerd serves", timeout=START_SECONDS, log=self.log("containerd"))
        runtime.purge_containers()

    def start_kubelet(self, plane: ControlPlane) -> None:
        """Start the kubelet with certificates of the plane's authority."""
        pki = plane.layout.pki
        plane.authority.server("kubelet", [self.address])
        user = plane.user(f"system:node:{self.address}", ["system:nodes"])
        config = node_config.kubelet(self.state, pki, self.address, self.containerd.socket)
        words: list[str | Path] = [
            binaries.path("kubelet"),
            f"--config={self._write('kubelet.json', config)}",
            f"--kubeconfig={user}",
            f"--root-dir={self.state}/kubelet",
            f"--node-ip={self.address}",
            f"--hostname-override={self.address}",
        ]
        process.start("kubelet", words, self.state)

    def start_proxy(self, plane: ControlPlane) -> None:
        config = node_config.kube_proxy(plane.layout.user("kube-proxy"), self.address)
        words: list[str | Path] = [binaries.path("kube-proxy"), f"--config={self._write('kube-proxy.json', config)}"]
        process.start("kube-proxy", words, self.state)

    def ready(self, api: Api) -> bool:
        """Whether the API knows the node as Ready."""
        for name in ("kubelet", "kube-proxy", "containerd"):
            for record in process.records(self.state):
                if record.name == name:
                    process.require_alive(record)
        found = api.get(f"/api/v1/nodes/{self.address}")
        conditions = found["status"]["conditions"] if found else []
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def stop(self) -> None:
        """End kubelet and proxy, then containers, then the runtime; undo all mounts."""
        for record in reversed(process.records(self.state)):
            if record.name != "containerd":
                process.stop(record)
        if process.find(self.state, "containerd") and self.containerd.serves():
            self.containerd.purge_containers()
        process.stop_all(self.state)
        ControlGroup().remove()
        host.unmount_below([self.state, cache_root() / "containerd"])
        shutil.rmtree(self.state, ignore_errors=True)

    def _write(self, name: str, config: dict[str, object]) -> Path:
        return kubeconfig.write(self.state / name, json.loads(json.dumps(config)))
