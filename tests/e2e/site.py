"""What e2e tests and benchmarks stand on: the cluster, the chart, a namespace with a model, clients."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from hack import evidence, install, model
from hack.cluster import full, machine
from hack.cluster.api import Api
from hack.cluster.failure import ClusterError
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps

Json = dict[str, Any]

ROOM = "e2e"
SERVICE = "smol"
KEY = "tester"
TOOLS = {"enableAutoToolChoice": True, "toolCallParser": "hermes"}
READY_SECONDS = 420.0
CHILD_KINDS = "rayservices,rayclusters,services,networkpolicies,poddisruptionbudgets,pods"
ASK_AGAIN = 0.5
"""Seconds between two looks: a wait must not take the CPU from what it waits for."""


@dataclass(frozen=True)
class Site:
    """A cluster with llmservice installed. `base_url` is what the Ingress answers on."""

    kubeconfig: Path
    base_url: str
    images: install.Images
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    opened: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def api(self) -> Api:
        """Requests as admin."""
        return Api(self.kubeconfig)

    def client(self, room: str = ROOM, path: str | None = None, key: str | None = None) -> openai.OpenAI:
        """The official client, closed with the site; `path` None: the shared URL; `key` None: the room's."""
        where = f"{self.base_url}/{path}/v1" if path else f"{self.base_url}/v1"
        client = openai.OpenAI(base_url=where, api_key=key or self.keys[room], timeout=120, max_retries=0)
        return self.opened.enter_context(client)

    def service(self, room: str, name: str) -> Json | None:
        """An LLMService as it is now."""
        return install.llmservice(self.kubeconfig, room, name)

    def condition(self, room: str, name: str, kind: str) -> Json:
        """A condition of its present generation; empty where there is none."""
        return install.condition(self.service(room, name), kind)

    def children(self, room: str, name: str) -> list[str]:
        """What there is of an LLMService, as `<kind>/<name>`."""
        words = ("get", CHILD_KINDS, "--namespace", room, "-l", f"llmservice.io/service={name}", "-o", "json")
        return [f"{item['kind']}/{item['metadata']['name']}" for item in json.loads(self.api.kubectl(*words))["items"]]

    def apply(self, room: str, *objects: Json) -> None:
        """As a user applies."""
        install.apply(self.kubeconfig, room, list(objects))


@contextmanager
def deployed(room: str = ROOM) -> Iterator[Site]:
    """The site; a cluster that this started is taken down again."""
    steps = Steps()
    was_up = full.running()
    try:
        site = _deploy(steps)
        make_room(site, room)
        with site.opened:
            yield site
    finally:
        if not was_up:
            full.down(steps)


def _deploy(steps: Steps) -> Site:
    kubeconfig = full.up(steps)
    base_url = f"http://{machine.address()}"
    images = install.load_images(steps)
    with steps.step("install the chart"):
        install.install(kubeconfig, images, base_url, steps=steps)
    return Site(kubeconfig, base_url, images)


def make_room(site: Site, room: str) -> None:
    """A namespace with the model's volume, the pool `cpu` and a key."""
    install.place_model(model.ensure(Steps()), install.make_room(site.kubeconfig, room))
    site.apply(room, install.cpu_pool(site.images.worker), api_key(KEY))
    site.keys[room] = install.issued_key(site.kubeconfig, room, KEY)["OPENAI_API_KEY"]


def api_key(name: str, **spec: Any) -> Json:
    """An APIKey."""
    return {"apiVersion": "llmservice.io/v1alpha1", "kind": "APIKey", "metadata": {"name": name}, "spec": spec}


def llmservice(name: str, source: str = "pvc://models/smollm2-135m", **spec: Any) -> Json:
    """An LLMService on the pool `cpu`; `spec` is laid over the least that there must be."""
    wanted = {"source": source, **spec.pop("model", {})}
    engine = {"maxModelLen": 2048, "args": {"enforceEager": True, **TOOLS}}
    return {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": name},
        "spec": {"model": wanted, "engine": engine, "placement": {"pools": ["cpu"]}, **spec},
    }


def ready_service(site: Site, room: str, name: str, **spec: Any) -> Json:
    """Apply an LLMService and return it when it is Ready."""
    wanted: Mapping[str, Any] = {"model": {"aliases": ["gpt-4o-mini"]}, "rollout": {"drain": "15s"}, **spec}
    site.apply(room, llmservice(name, **wanted))
    return wait_ready(site, room, name)


def wait_ready(site: Site, room: str, name: str) -> Json:
    """The LLMService when Ready speaks True of its present generation and that generation's revision answers.

    Ready alone stays True while an older revision answers for the one that comes up.
    """

    def settled() -> bool:
        ready, progressing = (site.condition(room, name, kind) for kind in ("Ready", "Progressing"))
        return ready.get("status") == "True" and progressing.get("reason") in ("RolledOut", "Draining")

    try:
        wait_until(
            settled,
            f"LLMService {room}/{name} Ready",
            timeout=READY_SECONDS,
            interval=ASK_AGAIN,
        )
    except ClusterError as error:
        raise ClusterError(str(error), evidence.of_service(site.kubeconfig, room, name)) from error
    found = site.service(room, name)
    assert found is not None
    return found
