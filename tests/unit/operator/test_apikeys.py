"""Issuing keys: once, shown once, and safe to be killed at any step."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from llmservice_operator.apikeys import KeyIssuer
from llmservice_operator.cluster import ApiError
from llmservice_operator.keys import Key, digest, make_key
from llmservice_operator.observed import Install
from llmservice_operator.rotation import is_issued
from llmservice_operator.store import Ref, Store
from tests.unit.operator.builders import INSTALL, NOON, an_api_key
from tests.unit.operator.memory import MemoryCluster

Json = dict[str, Any]
PEPPER = bytes(range(32))
APP, SECRET = Ref("apikeys", "team-a", "app"), Ref("secrets", "team-a", "app")
KEY = ("team-a", "app")


@dataclass
class Bench:
    """An issuer over objects in memory, with keys that are counted."""

    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    store: Store = field(default_factory=Store)
    made: list[Key] = field(default_factory=list)
    now: datetime = NOON
    install: Install = INSTALL

    def make(self) -> Key:
        """The next key."""
        number = len(self.made) + 1
        self.made.append(make_key(number.to_bytes(8, "big"), number.to_bytes(32, "big")))
        return self.made[-1]

    async def reconcile(self) -> float | None:
        """Once, with what the API server has now."""
        if APP in self.cluster.objects:
            self.store.put("apikeys", self.cluster.objects[APP])
        issuer = KeyIssuer(self.store, self.cluster, self.install, PEPPER, self.make, lambda: self.now, "host")
        return await issuer.reconcile(KEY)

    @property
    def status(self) -> Json:
        """The APIKey's status."""
        return dict(self.cluster.objects[APP].get("status") or {})

    @property
    def ready(self) -> tuple[str, str]:
        """Status and reason of Ready."""
        found = next(item for item in self.status["conditions"] if item["type"] == "Ready")
        return found["status"], found["reason"]

    @property
    def status_writes(self) -> int:
        """How often status was written."""
        return sum(write.verb == "status" for write in self.cluster.writes)


@pytest.fixture
def bench() -> Bench:
    found = Bench()
    found.cluster.put("apikeys", an_api_key())
    return found


async def test_a_key_is_made_once_and_shown_in_a_secret_that_it_owns(bench: Bench) -> None:
    for _ in range(3):
        assert await bench.reconcile() is None
    (key,) = bench.made
    assert bench.ready == ("True", "Issued")
    assert {name: bench.status[name] for name in ("id", "digest", "secretName")} == {
        "id": key.id,
        "digest": digest(PEPPER, key),
        "secretName": "app",
    }
    secret = bench.cluster.objects[SECRET]
    assert secret["stringData"] == {"OPENAI_API_KEY": key.text, "OPENAI_BASE_URL": "https://llm.example.com/v1"}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid-app"
    assert key.secret not in str(bench.status) + str(bench.cluster.events)
    assert bench.status_writes == 2


@pytest.mark.parametrize("at", [("apply", "secrets"), ("status", "apikeys"), ("create", "events")])
async def test_killed_at_any_write_it_ends_with_one_key_that_works(at: tuple[str, str], bench: Bench) -> None:
    bench.cluster.refusals[at] = ConnectionError("killed")
    with pytest.raises(ConnectionError):
        await bench.reconcile()
    bench.cluster.refusals = {}
    bench.store = Store()
    await bench.reconcile()
    assert bench.ready == ("True", "Issued")
    shown = bench.cluster.objects[SECRET]["stringData"]["OPENAI_API_KEY"]
    assert shown == bench.made[-1].text
    assert bench.status["digest"] == digest(PEPPER, bench.made[-1])


@pytest.mark.parametrize(("annotated", "made"), [(True, 1), (False, 2)], ids=["it says which", "by an older version"])
async def test_killed_between_the_secret_and_ready_the_secret_says_which_key_it_shows(
    annotated: bool, made: int, bench: Bench
) -> None:
    await bench.reconcile()
    for item in bench.cluster.objects[APP]["status"]["conditions"]:
        item.update(status="False", reason="Starting")
    if not annotated:
        bench.cluster.objects[SECRET]["metadata"]["annotations"] = {}
    bench.store = Store()
    await bench.reconcile()
    assert len(bench.made) == made
    assert bench.ready == ("True", "Issued")
    assert bench.status["digest"] == digest(PEPPER, bench.made[-1])
    assert bench.cluster.objects[SECRET]["stringData"]["OPENAI_API_KEY"] == bench.made[-1].text


async def test_a_secret_that_is_not_ours_is_left_alone_and_said_once(bench: Bench) -> None:
    bench.cluster.put("secrets", {"metadata": {"name": "app", "namespace": "team-a", "uid": "x"}}, foreign=True)
    for _ in range(3):
        assert await bench.reconcile() == 30.0
    assert bench.ready == ("False", "SecretTaken")
    assert "digest" not in bench.status
    assert (bench.status_writes, len(bench.cluster.events), bench.made) == (1, 1, [])
    del bench.cluster.objects[SECRET]
    bench.cluster.strangers.clear()
    await bench.reconcile()
    assert bench.ready == ("True", "Issued")
    assert bench.status["digest"] == digest(PEPPER, bench.made[-1])


@pytest.mark.parametrize("status", [409, 422])
async def test_a_secret_that_only_looks_like_ours_is_left_alone_and_said_once(status: int, bench: Bench) -> None:
    bench.cluster.refusals["apply", "secrets"] = ApiError(status, "Conflict", "not yours")
    assert await bench.reconcile() == 30.0
    assert bench.ready == ("False", "SecretTaken")
    assert "digest" not in bench.status
    writes, events = bench.status_writes, len(bench.cluster.events)
    for _ in range(3):
        assert await bench.reconcile() == 30.0
    assert (bench.status_writes, len(bench.cluster.events)) == (writes, events)
    del bench.cluster.refusals["apply", "secrets"]
    await bench.reconcile()
    assert bench.ready == ("True", "Issued")
    assert bench.status["digest"] == digest(PEPPER, bench.made[-1])


async def test_other_refusals_are_retried(bench: Bench) -> None:
    bench.cluster.refusals["apply", "secrets"] = ApiError(500, "InternalError", "x")
    with pytest.raises(ApiError):
        await bench.reconcile()


@pytest.mark.parametrize(
    ("expires", "ready", "again"),
    [
        ("2026-01-31T12:00:10Z", ("True", "Issued"), 10.1),
        ("2026-01-31T13:00:10+01:00", ("True", "Issued"), 10.1),
        ("2026-01-31T12:00:00Z", ("False", "Expired"), None),
        ("2020-01-01T00:00:00Z", ("False", "Expired"), None),
        ("2030-01-01T00:00:00Z", ("True", "Issued"), 86400),
        ("2026-01-31t12:00:10z", ("True", "Issued"), 10.1),
        ("2026-01-31T12:00:10.5Z", ("True", "Issued"), 10.6),
    ],
)
async def test_expiry(expires: str, ready: tuple[str, str], again: float | None, bench: Bench) -> None:
    bench.cluster.put("apikeys", an_api_key(expiresAt=expires))
    assert await bench.reconcile() == (pytest.approx(again) if again else None)
    assert bench.ready == ready


async def test_a_key_expires_and_lives_again_with_a_later_instant(bench: Bench) -> None:
    bench.cluster.put("apikeys", an_api_key(expiresAt="2026-01-31T12:00:10Z"))
    await bench.reconcile()
    bench.now = NOON + timedelta(seconds=11)
    await bench.reconcile()
    assert bench.ready == ("False", "Expired")
    bench.cluster.objects[APP]["spec"] = {"expiresAt": "2030-01-01T00:00:00Z"}
    bench.cluster.objects[APP]["metadata"] |= {"generation": 2, "resourceVersion": "999"}
    await bench.reconcile()
    assert bench.ready == ("True", "Issued")
    assert len(bench.made) == 1


BY_BUDGET = {"budgetRef": {"name": "team"}}
LIMITED: list[tuple[Json, bool, bool, tuple[str, str] | None]] = [
    ({}, False, False, None),
    ({"limits": {"parallel": 2}}, False, False, ("True", "Enforced")),
    ({"limits": {"requestsPerMinute": 2}}, False, False, ("True", "Enforced")),
    ({"limits": {"tokensPerMinute": 2}}, False, False, ("False", "MeteringOff")),
    ({"limits": {"tokensPerMinute": 2}}, False, True, ("True", "Enforced")),
    (BY_BUDGET, False, True, ("False", "BudgetNotFound")),
    (BY_BUDGET, False, False, ("False", "BudgetNotFound")),
    (BY_BUDGET, True, False, ("False", "MeteringOff")),
    (BY_BUDGET, True, True, ("True", "Enforced")),
]


@pytest.mark.parametrize(("spec", "budget", "metering", "said"), LIMITED)
async def test_whether_limits_are_enforced_is_said(
    spec: Json, budget: bool, metering: bool, said: tuple[str, str] | None, bench: Bench
) -> None:
    bench.cluster.put("apikeys", an_api_key(**spec))
    bench.install = replace(INSTALL, ledger_url="http://ledger" if metering else None)
    if budget:
        bench.store.put("budgets", {"metadata": {"name": "team", "namespace": "team-a"}})
    bench.store.put("budgets", {"metadata": {"name": "team", "namespace": "team-b"}})
    await bench.reconcile()
    found = [(item["status"], item["reason"]) for item in bench.status["conditions"] if item["type"] != "Ready"]
    assert found == ([said] if said else [])
    assert bench.ready == ("True", "Issued")


async def test_a_spec_of_another_schema_is_said_and_issues_nothing(bench: Bench) -> None:
    bench.cluster.put("apikeys", an_api_key(models=["a b"]))
    assert await bench.reconcile() is None
    assert bench.ready == ("False", "InvalidSpec")
    assert bench.made == []


@pytest.mark.parametrize("gone", ["deleted", "terminating"])
async def test_a_key_that_goes_is_left_alone(gone: str, bench: Bench) -> None:
    if gone == "deleted":
        bench.cluster.objects = {}
    else:
        bench.cluster.objects[APP]["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    assert await bench.reconcile() is None
    assert bench.cluster.writes == []


READY = {"type": "Ready", "status": "True", "reason": "Issued"}


@pytest.mark.parametrize(
    ("status", "issued"),
    [
        ({}, False),
        ({"digest": "x", "conditions": []}, False),
        ({"digest": "x", "conditions": [READY]}, True),
        ({"conditions": [READY]}, False),
        ({"digest": "x", "conditions": [READY | {"status": "False", "reason": "Expired"}]}, True),
        ({"digest": "x", "conditions": [READY | {"status": "False", "reason": "Starting"}]}, False),
        ({"digest": "x", "conditions": [READY | {"status": "False", "reason": "SecretTaken"}]}, True),
        ({"conditions": [READY | {"status": "False", "reason": "SecretTaken"}]}, False),
    ],
)
def test_is_issued(status: Json, issued: bool) -> None:
    assert is_issued(an_api_key() | {"status": status}) is issued
