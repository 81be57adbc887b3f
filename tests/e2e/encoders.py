"""Services of models of their own: an encoder for embeddings and scores, and a classifier."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hack import install, model
from hack.cluster.progress import Steps
from tests.e2e.site import ROOM, Json, Site, ready_service

ENCODER = "minilm"
CLASSIFIER = "sentiment"


@contextmanager
def serving(site: Site, name: str, recipe: model.Recipe, engine: Json, **more: Any) -> Iterator[str]:
    """A service of `recipe`, Ready; gone afterwards. `more` is of `spec.model`. Its name."""
    install.place_model(model.ensure(Steps(), recipe=recipe), install.make_room(site.kubeconfig, ROOM))
    eager = {**engine, "args": {"enforceEager": True, **engine.get("args", {})}}
    ready_service(site, ROOM, name, model={"source": f"pvc://models/{recipe.name}", **more}, engine=eager)
    try:
        yield name
    finally:
        site.api.kubectl("delete", "llm", name, "--namespace", ROOM)


@contextmanager
def encoding(site: Site, name: str, recipe: model.Recipe, tasks: list[str]) -> Iterator[str]:
    """A service of an encoder for `tasks`."""
    with serving(site, name, recipe, {"maxModelLen": 256}, tasks=tasks):
        yield name
