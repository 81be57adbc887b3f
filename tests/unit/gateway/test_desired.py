"""From objects to map contents, row by row."""

from typing import Any

import pytest

from llmservice_gateway import objects
from llmservice_gateway.desired import NAMES, desired_maps
from llmservice_gateway.objects import NEVER
from tests.unit.gateway.builders import PEPPER, apikey, llmservice, secret_key

PROBE = f"p|{NEVER}|*|*"
D1, D2 = PEPPER.digest(secret_key(1)), PEPPER.digest(secret_key(2))
K1, K2 = f"{1:016x}", f"{2:016x}"


def maps(services: list[Any], keys: list[Any]) -> dict[str, dict[str, str]]:
    found = [objects.service(each) for each in services]
    issued = [objects.key(each) for each in keys]
    return desired_maps([each for each in found if each], [each for each in issued if each], "p")


def test_an_empty_cluster_knows_only_the_probe() -> None:
    empty: dict[str, dict[str, str]] = {name: {} for name in NAMES}
    assert maps([], []) == empty | {"keys": {"probe": PROBE}, "state": {"synced": "1"}}


SERVICES = [
    pytest.param([llmservice("a")], {"team-a/a": "-|0|Keys"}, {"team-a/a": "team-a/a"}, {}, id="no address"),
    pytest.param(
        [llmservice("a", model="org/m:1", aliases=["gpt", "gpt"], address="10.0.0.1:8000", host="h.example")],
        {"team-a/a": "10.0.0.1|8000|Keys"},
        {"team-a/org/m:1": "team-a/a", "team-a/gpt": "team-a/a"},
        {"h.example": "team-a/a"},
        id="everything",
    ),
    pytest.param(
        [llmservice("a", address="[fd00::1]:8000", mode="Open")],
        {"team-a/a": "fd00::1|8000|Open"},
        {"team-a/a": "team-a/a"},
        {},
        id="IPv6 and open",
    ),
    pytest.param(
        [
            llmservice("a", hold=(5, 60)),
            llmservice("b", hold=(5, 60), address="10.0.0.1:8000", replicas=0, mode="Open"),
            llmservice("c", hold=(5, 60), address="10.0.0.1:8000", replicas=1, revision={"pending": "c-1"}),
        ],
        {"team-a/a": "-|0|Keys|Cold", "team-a/b": "10.0.0.1|8000|Open|Cold", "team-a/c": "10.0.0.1|8000|Keys|Cold"},
        {f"team-a/{name}": f"team-a/{name}" for name in "abc"},
        {},
        id="cold",
    ),
    pytest.param(
        [
            llmservice("a", hold=(5, 60), address="10.0.0.1:8000", replicas=1),
            llmservice("b", hold=(5, 60), address="10.0.0.1:8000"),
            llmservice("c", hold=(0, 60), address="10.0.0.1:8000", replicas=0),
        ],
        {f"team-a/{name}": "10.0.0.1|8000|Keys" for name in "abc"},
        {f"team-a/{name}": f"team-a/{name}" for name in "abc"},
        {},
        id="not cold, or nobody may wait",
    ),
    pytest.param(
        [llmservice("a", namespace="x"), llmservice("a", namespace="y")],
        {"x/a": "-|0|Keys", "y/a": "-|0|Keys"},
        {"x/a": "x/a", "y/a": "y/a"},
        {},
        id="one name in two namespaces",
    ),
    pytest.param(
        [
            llmservice("a", created="2026-01-02T00:00:00Z", model="m", host="h"),
            llmservice("b", created="2026-01-01T00:00:00Z", aliases=["m"], host="h"),
        ],
        {"team-a/a": "-|0|Keys", "team-a/b": "-|0|Keys"},
        {"team-a/m": "team-a/b", "team-a/b": "team-a/b"},
        {"h": "team-a/b"},
        id="the older one has the name",
    ),
    pytest.param(
        [llmservice("a", adapters=["legal", "org/x:1", "x y", 7, "broken"], failed=["broken"]), llmservice("legal")],
        {"team-a/a": "-|0|Keys", "team-a/legal": "-|0|Keys"},
        {"team-a/a": "team-a/a", "team-a/legal": "team-a/a", "team-a/org/x:1": "team-a/a"},
        {},
        id="adapters that did not fail are names of their own",
    ),
    pytest.param([llmservice("a", deleted=True)], {}, {}, {}, id="going"),
    pytest.param(
        [llmservice("a", address="nonsense", model="a;b", aliases=["ok", "x y", 7, "a|b"], host="a b", mode=7)],
        {"team-a/a": "-|0|Keys"},
        {"team-a/ok": "team-a/a"},
        {},
        id="malformed fields count for nothing",
    ),
]


@pytest.mark.parametrize(("services", "routes", "models", "hosts"), SERVICES)
def test_services(services: list[Any], routes: Any, models: Any, hosts: Any) -> None:
    found = maps(services, [])
    assert (found["routes"], found["models"], found["hosts"]) == (routes, models, hosts)


KEYS = [
    pytest.param([apikey(1)], {K1: f"{D1}|{NEVER}|team-a|*"}, {}, id="no list: all models"),
    pytest.param([apikey(1, models=["x", "*"])], {K1: f"{D1}|{NEVER}|team-a|*"}, {}, id="a star: all models"),
    pytest.param(
        [apikey(1, models=["qwen*", "nothing"])],
        {K1: f"{D1}|{NEVER}|team-a|-"},
        {f"{K1}|team-a/a": "1"},
        id="a glob, of one namespace",
    ),
    pytest.param(
        [apikey(1, models=["gp?", "org/*"])],
        {K1: f"{D1}|{NEVER}|team-a|-"},
        {f"{K1}|team-a/a": "1", f"{K1}|team-a/b": "1"},
        id="an alias, a slash",
    ),
    pytest.param([apikey(1, models=["[a-z]*"])], {K1: f"{D1}|{NEVER}|team-a|-"}, {}, id="no other wildcard"),
    pytest.param([apikey(1, models=[])], {K1: f"{D1}|{NEVER}|team-a|-"}, {}, id="an empty list opens nothing"),
    pytest.param(
        [apikey(1, expires="2026-01-01T01:00:00.5+01:00")],
        {K1: f"{D1}|1767225600500|team-a|*"},
        {},
        id="expiry in milliseconds",
    ),
    pytest.param(
        [apikey(1, expires="soon"), apikey(2, expires="2026-01-01T00:00:00")], {}, {}, id="no instant: no key"
    ),
    pytest.param([apikey(1, deleted=True)], {}, {}, id="going"),
    pytest.param(
        [apikey(1), apikey(1, namespace="team-b", created="2026-01-02T00:00:00Z", key=secret_key(2))],
        {K1: f"{D1}|{NEVER}|team-a|*"},
        {},
        id="the older one has the id",
    ),
    pytest.param([apikey(1, role="Admin")], {K1: f"{D1}|{NEVER}|team-a|admin"}, {}, id="an admin opens no model"),
    pytest.param(
        [apikey(1, models=["qwen*"], previous=2, until="2026-01-01T00:00:00Z")],
        {K1: f"{D1}|{NEVER}|team-a|-", K2: f"{D2}|1767225600000|team-a|-"},
        {f"{K1}|team-a/a": "1", f"{K2}|team-a/a": "1"},
        id="the key before opens the same until its end",
    ),
    pytest.param(
        [apikey(1, previous=2)],
        {K1: f"{D1}|{NEVER}|team-a|*", K2: f"{D2}|{NEVER}|team-a|*"},
        {},
        id="while the new key is being shown, the one before has no end",
    ),
    pytest.param(
        [apikey(1, previous=2, until="2030-01-01T00:00:00Z", expires="2026-01-01T00:00:00Z")],
        {K1: f"{D1}|1767225600000|team-a|*", K2: f"{D2}|1767225600000|team-a|*"},
        {},
        id="the key before outlives no expiry",
    ),
    pytest.param(
        [apikey(1, previous=2, until="soon")],
        {K1: f"{D1}|{NEVER}|team-a|*"},
        {},
        id="a key before with an end that is none",
    ),
    pytest.param(
        [apikey(2), apikey(1, previous=2, until="2030-01-01T00:00:00Z", created="2026-01-02T00:00:00Z")],
        {K1: f"{D1}|{NEVER}|team-a|*", K2: f"{D2}|{NEVER}|team-a|*"},
        {},
        id="an id that another has is not taken by a key before",
    ),
    pytest.param(
        [apikey(1), apikey(2)],
        {K1: f"{D1}|{NEVER}|team-a|*", K2: f"{D2}|{NEVER}|team-a|*"},
        {},
        id="two",
    ),
]


@pytest.mark.parametrize(("keys", "entries", "allow"), KEYS)
def test_keys(keys: list[Any], entries: dict[str, str], allow: dict[str, str]) -> None:
    services = [
        llmservice("a", model="qwen3", aliases=["gpt"]),
        llmservice("b", model="org/m"),
        llmservice("a", namespace="team-b", model="qwen3"),
    ]
    found = maps(services, keys)
    assert found["keys"] == entries | {"probe": PROBE}
    assert found["allow"] == allow


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({}, {}),
        ({"limits": {}}, {}),
        ({"limits": {"requestsPerMinute": 5}}, {K1: f"5|0|0|{K1}"}),
        (
            {"limits": {"requestsPerMinute": 5, "tokensPerMinute": 6, "parallel": 7}, "previous": 2},
            {K1: f"5|6|7|{K1}", K2: f"5|6|7|{K1}"},
        ),
        ({"limits": {"requestsPerMinute": "5", "tokensPerMinute": True, "parallel": -1}}, {}),
        ({"limits": [5]}, {}),
    ],
    ids=["none", "empty", "one", "all, of both keys of a rotation", "malformed", "no mapping"],
)
def test_limits(fields: dict[str, Any], limits: dict[str, str]) -> None:
    assert maps([], [apikey(1, **fields)])["limits"] == limits


def test_a_key_that_is_added_is_limited_before_it_opens_anything() -> None:
    assert NAMES.index("limits") < NAMES.index("keys")


def test_dynamic_adapters_go_by_each_of_the_models_names_that_are_its_own() -> None:
    older = llmservice("old", created="2025-01-01T00:00:00Z", aliases=["shared"])
    found = maps([older, llmservice("a", aliases=["gpt", "shared"], adapters=["legal"], dynamic=True)], [])
    assert found["dynamic"] == {"team-a/a": "team-a/a", "team-a/gpt": "team-a/a"}


OPENED_ADAPTERS = [
    pytest.param(["base"], {"|team-a/s"}, id="the model: its adapters with it"),
    pytest.param(["legal"], {"||team-a/legal"}, id="one adapter opens neither the model nor another"),
    pytest.param(["le*"], {"||team-a/legal", "||team-a/lease"}, id="a glob of adapters"),
    pytest.param(["base:*"], {"||team-a/base:*"}, id="each dynamic one"),
    pytest.param(["base:a", "other:a"], {"||team-a/base:a"}, id="one dynamic one"),
    pytest.param(["base:a*", "base:a?"], set(), id="a part of the dynamic ones cannot be told: none"),
    pytest.param(["bas?"], {"|team-a/s"}, id="a glob of the model"),
]


@pytest.mark.parametrize(("patterns", "allowed"), OPENED_ADAPTERS)
def test_keys_open_adapters_as_they_open_models(patterns: list[str], allowed: set[str]) -> None:
    service = llmservice("s", model="base", adapters=["legal", "lease"], dynamic=True)
    strange = llmservice("s", namespace="team-b", model="base", adapters=["legal", "lease"], dynamic=True)
    assert set(maps([service, strange], [apikey(1, models=patterns)])["allow"]) == {K1 + each for each in allowed}
