"""Configuration of kubelet, kube-proxy and containerd."""

import tomllib
from pathlib import Path

import pytest

from hack.cluster import node_config
from hack.cluster.containerd import Containerd
from hack.cluster.settings import DNS_ADDRESS


def test_the_kubelet_admits_nobody_without_a_certificate() -> None:
    config = node_config.kubelet(Path("/node"), Path("/pki"), "10.0.0.7", Path("/sock"))
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["readOnlyPort"] == 0
    assert config["clusterDNS"] == [DNS_ADDRESS]
    assert config["containerRuntimeEndpoint"] == "unix:///sock"


def test_the_kubelet_keeps_images_and_writes_only_below_its_state() -> None:
    config = node_config.kubelet(Path("/node"), Path("/pki"), "10.0.0.7", Path("/sock"))
    assert config["imageGCHighThresholdPercent"] == 100
    assert config["podLogsDir"] == "/node/pod-logs"
    assert config["volumePluginDir"] == "/node/volume-plugins"


def test_kube_proxy_uses_nftables_and_leaves_connection_tracking_alone() -> None:
    config = node_config.kube_proxy(Path("/kubeconfig"), "10.0.0.7")
    assert config["mode"] == "nftables"
    assert config["conntrack"]["maxPerCore"] == 0


def test_containerd_keeps_images_in_the_cache_and_all_else_in_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMSERVICE_CACHE", str(tmp_path / "cache"))
    config = tomllib.loads(Containerd(tmp_path / "state").config("docker.io/llmservice/pause:1"))
    plugin = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert config["root"] == str(tmp_path / "cache" / "containerd")
    assert config["state"].startswith(str(tmp_path / "state"))
    assert plugin["sandbox_image"] == "docker.io/llmservice/pause:1"
    assert plugin["restrict_oom_score_adj"] is True
