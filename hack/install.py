"""llmservice on a cluster that is up: the chart with given images, and what a namespace of models needs.

Demo, e2e tests and benchmarks share it.
"""

import base64
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import volumes
from hack.cluster.api import Api
from hack.cluster.cache import REPOSITORY
from hack.cluster.failure import ClusterError
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps
from hack.helm import CHART, NAMESPACE, RELEASE, helm
from llmservice_api.names import APIKEYS, GROUP, LLMSERVICES, VERSION

SAMPLES = REPOSITORY / "manifests" / "samples"
INSTALL_TIMEOUT = "180s"

Json = dict[str, Any]


@dataclass(frozen=True)
class Images:
    """Full references of the three images."""

    operator: str
    gateway: str
    worker: str


def load_images(steps: Steps) -> Images:
    """Build what is missing and bring it to the cluster's nodes."""
    from hack.cluster import images  # the builders: not needed where references are given

    return Images(*(images.load(name, steps) for name in ("operator", "gateway", "worker-cpu")))


def install(
    kubeconfig: Path,
    images: Images,
    public_url: str,
    *,
    values: Mapping[str, Any] | None = None,
    steps: Steps | None = None,
) -> None:
    """The chart, new or upgraded; returns when operator and gateway are ready. `values` win over ours."""
    Api(kubeconfig).apply([namespace(NAMESPACE)])
    volumes.ledger_volume(NAMESPACE, kubeconfig)
    _end_interrupted(kubeconfig, steps)
    layers = [chart_values(images, public_url), dict(values or {})]
    text = yaml.safe_dump(_merged(*layers))
    words = ("upgrade", "--install", RELEASE, str(CHART), "--wait", f"--timeout={INSTALL_TIMEOUT}", "--values=-")
    helm(*words, kubeconfig=kubeconfig, stdin=text, steps=steps)


def uninstall(kubeconfig: Path) -> None:
    """The release goes; CRDs and pepper stay, as everywhere."""
    helm("uninstall", RELEASE, "--ignore-not-found", "--wait", kubeconfig=kubeconfig)


def chart_values(images: Images, public_url: str) -> Json:
    """Values for a cluster of hack/: its images, its address, short drains."""
    return {
        "operator": {"image": image_values(images.operator)},
        "gateway": {"image": image_values(images.gateway), "publicURL": public_url, "drain": {"timeoutSeconds": 60}},
    }


def image_values(reference: str) -> dict[str, str]:
    """A full reference as the chart's repository and tag or digest."""
    if "@" in reference:
        repository, digest = reference.split("@")
        return {"repository": repository, "digest": digest}
    repository, tag = reference.rsplit(":", 1)
    return {"repository": repository, "tag": tag}


def namespace(name: str) -> Json:
    """A namespace in which only restricted pods may run."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def make_room(kubeconfig: Path, name: str) -> Path:
    """A namespace with the claim `models`; returns the folder that it shows."""
    Api(kubeconfig).apply([namespace(name)])
    return volumes.model_volume(name, kubeconfig)


def place_model(model: Path, folder: Path) -> None:
    """Show a prepared model in the folder of a claim, under its own name: hard links, no second copy."""
    target = folder / model.name
    if _same_files(model, target):
        return
    draft = folder / f".{model.name}.draft"
    for stale in (draft, target):
        shutil.rmtree(stale, ignore_errors=True)
    shutil.copytree(model, draft, copy_function=os.link)
    draft.rename(target)


def _same_files(one: Path, other: Path) -> bool:
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    return all((other / file).is_file() and (other / file).samefile(one / file) for file in files)


def sample(name: str) -> list[Json]:
    """The objects of one of manifests/samples."""
    return list(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text()))


def cpu_pool(worker_image: str) -> Json:
    """The sample pool `cpu` with an image that this cluster has."""
    (pool,) = sample("cpu-pool")
    return {**pool, "spec": {**pool["spec"], "image": worker_image}}


def apply(kubeconfig: Path, namespace_name: str, objects: list[Json]) -> None:
    """Server-side apply into a namespace, as a user would."""
    text = yaml.safe_dump_all(objects)
    words = ("apply", "--server-side", "--field-manager=kubectl", "--namespace", namespace_name, "-f", "-")
    Api(kubeconfig).kubectl(*words, stdin=text)


def llmservice(kubeconfig: Path, namespace_name: str, name: str) -> Json | None:
    """An LLMService as it is now."""
    return get(kubeconfig, LLMSERVICES, namespace_name, name)


def get(kubeconfig: Path, plural: str, namespace_name: str, name: str) -> Json | None:
    """One object of our group, or None."""
    found: Json | None = Api(kubeconfig).get(f"/apis/{GROUP}/{VERSION}/namespaces/{namespace_name}/{plural}/{name}")
    return found


def condition(obj: Json | None, kind: str) -> Json:
    """A condition that speaks of the object's present generation; empty where there is none."""
    status = (obj or {}).get("status") or {}
    now = (obj or {}).get("metadata", {}).get("generation")
    found = [c for c in status.get("conditions", []) if c["type"] == kind and c["observedGeneration"] == now]
    return dict(found[0]) if found else {}


def issued_key(kubeconfig: Path, namespace_name: str, name: str, timeout: float = 30) -> dict[str, str]:
    """What the Secret of an APIKey holds, once the key is issued: OPENAI_API_KEY and OPENAI_BASE_URL."""

    def ready() -> bool:
        found = condition(get(kubeconfig, APIKEYS, namespace_name, name), "Ready")
        if found.get("reason") == "SecretTaken":
            raise ClusterError(str(found["message"]))
        return found.get("status") == "True"

    wait_until(ready, f"APIKey {namespace_name}/{name} issued", timeout=timeout)
    secret = json.loads(Api(kubeconfig).kubectl("get", "secret", name, "--namespace", namespace_name, "-o", "json"))
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def _end_interrupted(kubeconfig: Path, steps: Steps | None) -> None:
    """An installation that was killed on its way locks the release: take it away; CRDs and pepper stay."""
    found = json.loads(helm("list", "--all", "--output=json", kubeconfig=kubeconfig, steps=steps))
    if any(release["name"] == RELEASE and release["status"].startswith("pending") for release in found):
        uninstall(kubeconfig)


def _merged(base: Json, over: Json) -> Json:
    """`over` laid over `base`, mappings key by key."""
    found = dict(base)
    for key, value in over.items():
        known = found.get(key)
        found[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return found
