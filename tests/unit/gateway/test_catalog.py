"""What GET /v1/models shows."""

from typing import Any

import pytest

from llmservice_gateway import objects
from llmservice_gateway.catalog import Catalog
from tests.unit.gateway.builders import apikey, llmservice

UP = "10.0.0.1:8000"
SERVICES = [
    llmservice("new", created="2026-01-02T00:00:00Z", aliases=["gpt"], address=UP),
    llmservice("old", model="gpt", address=UP),
    llmservice("cold"),
    llmservice("begun", address=UP, replicas=0, revision={"pending": "begun-1"}),
    llmservice("theirs", namespace="team-b", address=UP),
]
KEYS = [apikey(1), apikey(2, models=["new"]), apikey(3, namespace="team-b"), apikey(4, role="Admin")]


@pytest.fixture
def catalog() -> Catalog:
    services = [objects.service(each) for each in SERVICES]
    keys = [objects.key(each) for each in KEYS]
    return Catalog({each.route: each for each in services if each}, {each.id: each for each in keys if each})


@pytest.mark.parametrize(
    ("number", "ids"),
    [(1, ["gpt", "new"]), (2, ["new"]), (3, ["theirs"]), (4, []), (9, [])],
    ids=["all", "list", "other", "admin", "none"],
)
def test_of_key(catalog: Catalog, number: int, ids: list[str]) -> None:
    assert [model["id"] for model in catalog.of_key(f"{number:016x}")] == ids


@pytest.mark.parametrize(
    ("route", "ids"),
    [("team-a/new", ["new", "gpt"]), ("team-a/cold", []), ("team-a/begun", []), ("team-a/none", [])],
    ids=str,
)
def test_of_route(catalog: Catalog, route: str, ids: list[Any]) -> None:
    assert [model["id"] for model in catalog.of_route(route)] == ids


def test_an_adapter_is_listed_with_its_parent_where_the_key_opens_it() -> None:
    found = objects.service(llmservice("s", model="base", adapters=["legal", "lease"], address=UP, dynamic=True))
    keys = [objects.key(apikey(1, models=patterns)) for patterns in (["base"],)]
    keys += [objects.key(apikey(2, models=["legal", "base:x"]))]
    assert found is not None
    catalog = Catalog({found.route: found}, {each.id: each for each in keys if each})
    cards = [[(card["id"], card.get("parent")) for card in catalog.of_key(f"{number:016x}")] for number in (1, 2)]
    assert cards == [[("base", None), ("legal", "base"), ("lease", "base")], [("legal", "base")]]


def test_shape(catalog: Catalog) -> None:
    assert catalog.of_route("team-b/theirs") == [
        {"id": "theirs", "object": "model", "created": 1767225600, "owned_by": "team-b"}
    ]
