"""Services of models that do not generate: an encoder for embeddings and scores, and a classifier."""

from collections.abc import Iterator
from contextlib import contextmanager

from hack import install, model
from hack.cluster.progress import Steps
from tests.e2e.site import ROOM, Site, ready_service

ENCODER = "minilm"
CLASSIFIER = "sentiment"


@contextmanager
def encoding(site: Site, name: str, recipe: model.Recipe, tasks: list[str]) -> Iterator[str]:
    """A service of `recipe` for `tasks`, Ready; gone afterwards. Its name."""
    install.place_model(model.ensure(Steps(), recipe=recipe), install.make_room(site.kubeconfig, ROOM))
    ready_service(
        site,
        ROOM,
        name,
        model={"source": f"pvc://models/{recipe.name}", "tasks": tasks},
        engine={"maxModelLen": 256, "args": {"enforceEager": True}},
    )
    try:
        yield name
    finally:
        site.api.kubectl("delete", "llm", name, "--namespace", ROOM)
