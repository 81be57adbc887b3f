"""The full cluster where a Docker engine answers: kind's node with the same addons."""

import json
from pathlib import Path
from typing import Any

from hack.cluster import binaries, command, engine
from hack.cluster.cache import BUILD, cache_root
from hack.cluster.images import oci, programs
from hack.cluster.progress import Steps
from hack.cluster.volumes import folder as models_folder

KUBECONFIG = BUILD / "kubeconfig"
PROGRAMS = ("kuberay", "traefik")
"""kind brings its own pause and CoreDNS."""


def config() -> dict[str, Any]:
    """One node; ports 80 and 443 of this machine reach the Ingress, the models' folder has the same path inside."""
    models = str(models_folder())
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [
            {
                "role": "control-plane",
                "extraPortMappings": [{"containerPort": port, "hostPort": port} for port in (80, 443)],
                "extraMounts": [{"hostPath": models, "containerPath": models}],
            }
        ],
    }


def create_words(file: Path) -> list[str]:
    return [
        str(engine.kind()),
        "create",
        "cluster",
        f"--name={engine.CLUSTER}",
        f"--config={file}",
        *_kubeconfig(),
        "--wait=120s",
    ]


def delete_words() -> list[str]:
    return [str(engine.kind()), "delete", "cluster", f"--name={engine.CLUSTER}", *_kubeconfig()]


def load_archive_words(archive: Path) -> list[str]:
    return [str(engine.kind()), "load", "image-archive", f"--name={engine.CLUSTER}", str(archive)]


def address_words() -> list[str]:
    """The node's address in Docker's network, for the status of Ingresses."""
    inside = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return ["docker", "inspect", "--format", inside, f"{engine.CLUSTER}-control-plane"]


def up(steps: Steps) -> None:
    """Create the cluster unless it is there, and load the addons' images."""
    log = cache_root() / "logs" / "kind.log"
    engine.ensure_kind(log)
    binaries.ensure(["kubectl", "kuberay"], steps)
    if not engine.cluster_runs():
        models_folder().mkdir(parents=True, exist_ok=True)
        BUILD.mkdir(parents=True, exist_ok=True)
        file = BUILD / "kind.json"
        file.write_text(json.dumps(config()))
        with steps.step("kind cluster ready", log):
            command.logged(create_words(file), log)
    for name in PROGRAMS:
        with steps.step(f"load image {name}", log):
            archive = cache_root() / "archives" / f"{name}.tar"
            oci.write(programs.program(name, steps), archive)
            command.logged(load_archive_words(archive), log)
            archive.unlink()


def down() -> None:
    """Delete the cluster."""
    command.output(delete_words())
    KUBECONFIG.unlink(missing_ok=True)


def address() -> str:
    return command.output(address_words()).strip()


def _kubeconfig() -> tuple[str]:
    return (f"--kubeconfig={KUBECONFIG}",)
