"""Which service a name means to a key; that HAProxy finds the same is tested with it (integration, slow path)."""

import pytest

from llmservice_gateway import errors, objects
from llmservice_gateway.desired import Maps, desired_maps
from llmservice_gateway.errors import Refused
from llmservice_gateway.resolution import Claim, check, is_valid, opens, route_of
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


@pytest.mark.parametrize(
    ("key", "route", "opened"),
    [
        *((key, "team-a/free", True) for key in (ALL, ONE, ADMIN, "probe", "", "0" * 16)),
        *((key, "team-a/tuned", True) for key in (ALL, BASE, "probe")),
        *((key, "team-a/tuned", False) for key in (ONE, DYNAMIC, ADMIN, "", "0" * 16)),
        (ALL, "team-b/other", False),
        ("probe", "team-b/other", True),
        ("probe", "team-a/gone", False),
        (ALL, "team-a/gone", False),
    ],
)
def test_a_service_opens_by_its_url_as_haproxy_has_it(maps: Maps, key: str, route: str, opened: bool) -> None:
    assert opens(maps, key, route) is opened


NOW = 2**40


@pytest.mark.parametrize(
    ("claim", "error"),
    [
        (Claim(ALL, "team-a/tuned", None), None),
        (Claim(BASE, "team-a/tuned", "anything"), None),
        (Claim(ONE, "team-a/tuned", "legal"), None),
        (Claim(ONE, "team-a/tuned", "org/base"), errors.MODEL_NOT_FOUND),
        (Claim(ONE, "team-a/tuned", None), errors.MODEL_NOT_FOUND),
        (Claim(ONE, "team-a/folder", "legal"), errors.MODEL_NOT_FOUND),
        (Claim(DYNAMIC, "team-a/folder", "f:x"), None),
        (Claim("probe", "team-b/other", None), None),
        (Claim("", "team-a/free", None), None),
        (Claim("", "team-a/tuned", None), errors.INVALID_API_KEY),
        (Claim(OLD, "team-a/tuned", None), errors.INVALID_API_KEY),
        (Claim("0" * 16, "team-a/free", None), errors.INVALID_API_KEY),
    ],
)
def test_who_was_held_is_asked_again_what_haproxy_asked(
    maps: Maps, claim: Claim, error: errors.ApiError | None
) -> None:
    now = 2**50 if claim.key_id == OLD else NOW
    if error is None:
        check(claim, maps, {}, now)
        return
    with pytest.raises(Refused) as refused:
        check(claim, maps, {}, now)
    assert refused.value.error == error


@pytest.mark.parametrize(
    ("until", "again"), [(NOW + 1, "1"), (NOW + 1_999, "2"), (NOW + 2**39, "86400"), (NOW, None), (0, None)]
)
def test_a_budget_that_was_spent_meanwhile_refuses(maps: Maps, until: int, again: str | None) -> None:
    claim, blocks = Claim(ALL, "team-a/free", None), {ALL: f"{until}|team", BASE: f"{NOW * 2}|other"}
    if again is None:
        check(claim, maps, blocks, NOW)
        return
    with pytest.raises(Refused) as refused:
        check(claim, maps, blocks, NOW)
    error = refused.value.error
    assert (error.status, error.code, "`team`" in error.message) == (429, "insufficient_quota", True)
    assert dict(error.headers) == {"retry-after": again, "x-should-retry": "false"}
