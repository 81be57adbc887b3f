"""Resident memory of the processes on this machine that have a part in serving, by name."""

from pathlib import Path
from typing import Final

_PARTS: Final = {
    "haproxy": "gateway: HAProxy",
    "llmservice_gateway": "gateway: agent",
    "llmservice_operator": "operator",
    "VLLM::": "engine core (of either side)",
    "api_server": "vllm serve",
    "ray::ServeReplica": "replica (engine client and ingress)",
    "ray::ProxyActor": "Ray Serve proxies",
    "ray::ServeController": "Ray Serve controller",
    "gcs_server": "Ray GCS",
    "raylet": "raylets",
    "dashboard": "Ray dashboard and agents",
    "autoscaler": "Ray autoscaler",
    "traefik": "Traefik",
    "kuberay": "KubeRay",
}


def resident_mb() -> dict[str, int]:
    """MB by part; processes of one part are added up."""
    found: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            status = (folder / "status").read_text()
        except OSError:  # it ended while we looked
            continue
        part = next((part for mark, part in _PARTS.items() if mark in command), None)
        kilobytes = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
        if part is not None:
            found[part] = found.get(part, 0) + kilobytes // 1024
    return dict(sorted(found.items()))
