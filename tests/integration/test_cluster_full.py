"""The full cluster beside the one of this machine: in a network of its own, with state and cache of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hack.cluster import binaries, engine, machine, process
from hack.cluster.cache import REPOSITORY, cache_root
from hack.cluster.command import output, succeeds
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps

NETWORK = "llmservice-test"
LINK = "llmtest0"


@dataclass(frozen=True)
class Elsewhere:
    """Runs hack.cluster as if on another machine."""

    root: Path

    @property
    def node(self) -> Path:
        return self.root / "state" / "full" / "node"

    @property
    def plane(self) -> Path:
        return self.root / "state" / "full" / "control-plane"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            **{f"LLMSERVICE_{name.upper()}": str(self.root / name) for name in ("state", "cache", "build")},
        }
        argv = ["nsenter", f"--net=/run/netns/{NETWORK}", sys.executable, "-m", "hack.cluster", *words]
        return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, *words: str) -> tuple[int, str]:
        with self.start(*words) as command:
            text, _ = command.communicate()
            return command.returncode, text.decode()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    if engine.answers():
        pytest.skip("a Docker engine answers: kind is used, not this node")
    machine.require(Steps.quiet())
    binaries.ensure((*binaries.CONTROL_PLANE, *binaries.NODE, "kuberay", "coredns", "helm"), Steps.quiet())
    _remove_network()
    output(["ip", "netns", "add", NETWORK])
    output(["ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", NETWORK])
    for words in (
        "addr add 198.51.100.2/24 dev eth0",
        "link set eth0 up",
        "link set lo up",
        "route add default dev eth0",
    ):
        output(["ip", "-n", NETWORK, *words.split()])
    root = Path(tempfile.mkdtemp(prefix="llmc-"))  # sockets' paths must stay short
    (root / "cache").mkdir()
    (root / "cache" / "bin").symlink_to(cache_root() / "bin")
    found = Elsewhere(root)
    yield found
    found.run("down")
    shutil.rmtree(root)
    _remove_network()


@pytest.mark.timeout(400)
def test_a_start_that_was_killed_is_repaired_and_a_crashed_cluster_leaves_nothing(elsewhere: Elsewhere) -> None:
    with elsewhere.start("up") as half:
        wait_until(lambda: process.find(elsewhere.node, "kubelet"), "kubelet started", timeout=180)
        half.send_signal(signal.SIGKILL)
    status, text = elsewhere.run("up")
    assert status == 0, text
    status, text = elsewhere.run("status")
    assert "traefik/traefik: ready" in text
    assert "kube-system/coredns: ready" in text
    for folder, name in ((elsewhere.plane, "etcd"), (elsewhere.node, "containerd")):
        record = process.find(folder, name)
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
    started = [*process.records(elsewhere.plane), *process.records(elsewhere.node)]
    status, text = elsewhere.run("down")
    assert status == 0, text
    assert elsewhere.run("status", "--leftovers") == (0, "")
    assert not any(record.alive for record in started)
    assert not (elsewhere.root / "state").exists()
    assert output(["nsenter", f"--net=/run/netns/{NETWORK}", "nft", "list", "ruleset"]) == ""


def _remove_network() -> None:
    if succeeds(["ip", "link", "show", LINK]):
        output(["ip", "link", "delete", LINK])
    if Path("/run/netns", NETWORK).exists():
        output(["ip", "netns", "delete", NETWORK])
