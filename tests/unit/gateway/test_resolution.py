"""Which service a name means to a key; that HAProxy finds the same is tested with it (integration, slow path)."""

import pytest

from llmservice_gateway import objects
from llmservice_gateway.desired import Maps, desired_maps
from llmservice_gateway.resolution import is_valid, route_of
from tests.unit.gateway.builders import apikey, llmservice

ALL, BASE, ONE, DYNAMIC, ADMIN, OLD = (f"{number:016x}" for number in range(1, 7))


@pytest.fixture(scope="module")
def maps() -> Maps:
    services = [
        llmservice("tuned", model="org/base", adapters=["legal"]),
        llmservice("folder", aliases=["f"], dynamic=True),
        llmservice("named", aliases=["folder:own", "f:own"]),
        llmservice("other", namespace="team-b", model="org/base"),
        llmservice("free", mode="Open", dynamic=True, adapters=["tale"]),
        llmservice("theirs", namespace="team-b", mode="Open"),
    ]
    keys = [
        apikey(1),
        apikey(2, models=["org/*"]),
        apikey(3, models=["legal"]),
        apikey(4, models=["f:*", "folder:a"]),
        apikey(5, role="Admin"),
        apikey(6, expires="2026-01-01T00:00:00Z"),
    ]
    found = [objects.service(each) for each in services]
    issued = [objects.key(each) for each in keys]
    return desired_maps([each for each in found if each], [each for each in issued if each], "p")


@pytest.mark.parametrize(
    ("key", "model", "route"),
    [
        (ALL, "org/base", "team-a/tuned"),
        (ALL, "legal", "team-a/tuned"),
        (ALL, "folder:x", "team-a/folder"),
        (ALL, "f:own", "team-a/folder"),
        (ALL, "named", "team-a/named"),
        (BASE, "org/base", "team-a/tuned"),
        (BASE, "legal", "team-a/tuned"),
        (BASE, "folder", None),
        (ONE, "legal", "team-a/tuned"),
        (ONE, "org/base", None),
        (DYNAMIC, "f:x", "team-a/folder"),
        (DYNAMIC, "folder:a", "team-a/folder"),
        (DYNAMIC, "folder:b", None),
        (DYNAMIC, "f", None),
        (ADMIN, "org/base", None),
        *((key, "free", "team-a/free") for key in (ALL, BASE, ONE, ADMIN)),
        (BASE, "tale", "team-a/free"),
        (ADMIN, "free:x", "team-a/free"),
        ("", "free", None),
        ("0" * 16, "free", None),
        ("probe", "free", None),
        (ALL, "theirs", None),
        ("0" * 16, "org/base", None),
        ("", "org/base", None),
        ("probe", "org/base", None),
        (ALL, "", None),
        (ALL, "folder:a\n", None),
        (ALL, "folder:", None),
        (ALL, "team-b/org/base", None),
        (ALL, "../team-b/org/base", None),
    ],
)
def test_a_name_is_the_keys_own_namespaces(maps: Maps, key: str, model: str, route: str | None) -> None:
    assert route_of(maps, key, model) == route


@pytest.mark.parametrize(
    ("key", "now", "valid"),
    [(ALL, 2**50, True), ("0" * 16, 0, False), ("", 0, False), (OLD, 0, True), (OLD, 2**50, False)],
)
def test_a_key_is_valid_until_it_is_revoked_or_expires(maps: Maps, key: str, now: int, valid: bool) -> None:
    assert is_valid(maps, key, now) is valid
