"""The chart as the objects that it renders to."""

import functools
from dataclasses import dataclass
from typing import Any

import yaml

from hack.cluster.progress import Steps
from hack.helm import CHART, NAMESPACE, RELEASE, helm

Json = dict[str, Any]
KUBERNETES = "--kube-version=1.34.4"


@dataclass(frozen=True)
class Rendered:
    """Objects of one rendering."""

    objects: tuple[Json, ...]

    def of_kind(self, *kinds: str) -> list[Json]:
        return [obj for obj in self.objects if obj["kind"] in kinds]

    def get(self, kind: str, name: str, namespace: str | None = None) -> Json:
        """The one object of that kind and name."""
        (found,) = [
            obj
            for obj in self.of_kind(kind)
            if obj["metadata"]["name"] == name and namespace in (None, obj["metadata"].get("namespace"))
        ]
        return found

    def pods(self) -> dict[str, Json]:
        """Pod specs by the name of what makes them."""
        found = {obj["metadata"]["name"]: obj["spec"]["template"]["spec"] for obj in self.of_kind("Deployment")}
        return found | {obj["metadata"]["name"]: obj["spec"] for obj in self.of_kind("Pod")}

    def environment(self, deployment: str) -> dict[str, str]:
        """Variables with plain values of a Deployment's container."""
        (container,) = self.pods()[deployment]["containers"]
        return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


@functools.cache
def render(*settings: str, api_versions: tuple[str, ...] = ()) -> Rendered:
    """The chart with `--set` of each setting."""
    words = [f"--set={setting}" for setting in settings] + [f"--api-versions={version}" for version in api_versions]
    text = helm("template", RELEASE, str(CHART), KUBERNETES, *words, steps=Steps.quiet())
    return Rendered(tuple(obj for obj in yaml.load_all(text, yaml.CSafeLoader) if obj))


def namespaced(*namespaces: str, settings: tuple[str, ...] = (), api_versions: tuple[str, ...] = ()) -> Rendered:
    """The chart for these namespaces, with one pool, by somebody who may not install CRDs."""
    least = (
        f"watchNamespaces={{{','.join(namespaces)}}}",
        "gpuPools.cpu.image=docker.io/l/worker:1",
        "crds.install=false",
    )
    return render(*least, *settings, api_versions=api_versions)


__all__ = ["CHART", "KUBERNETES", "NAMESPACE", "RELEASE", "Json", "Rendered", "namespaced", "render"]
