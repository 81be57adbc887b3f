"""Rotating a key: at every moment the key that is shown is valid, and none is valid for longer than it is needed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from llmservice_api.apikey import APIKeySpec
from llmservice_operator.apikeys import KeyIssuer
from llmservice_operator.keys import Key, digest, make_key
from llmservice_operator.resources.secret import KEY_ID_ANNOTATION
from llmservice_operator.rotation import valid, wanted_serial
from llmservice_operator.store import Ref, Store
from tests.unit.operator.builders import INSTALL, NOON, an_api_key
from tests.unit.operator.memory import MemoryCluster

Json = dict[str, Any]
T = TypeVar("T")
PEPPER = bytes(range(32))
APP, SECRET = Ref("apikeys", "team-a", "app"), Ref("secrets", "team-a", "app")


class Killed(Exception):
    """The operator's process ended."""


@dataclass
class MortalCluster(MemoryCluster):
    """Its caller dies at a request, before it took effect or after; `seen` is told of every state in between."""

    dies_at: int | None = None
    after: bool = False
    requests: int = 0
    seen: Callable[[], None] = lambda: None

    async def metadata(self, plural: str, namespace: str, name: str) -> Json | None:
        """As any request."""
        return await self._mortal(lambda: super(MortalCluster, self).metadata(plural, namespace, name))

    async def apply(self, plural: str, obj: Json, *, force: bool, trial: bool = False) -> Json:
        """As any request."""
        return await self._mortal(lambda: super(MortalCluster, self).apply(plural, obj, force=force, trial=trial))

    async def apply_status(self, plural: str, namespace: str, name: str, status: Json) -> Json:
        """As any request."""
        return await self._mortal(lambda: super(MortalCluster, self).apply_status(plural, namespace, name, status))

    async def _mortal(self, request: Callable[[], Awaitable[T]]) -> T:
        self.requests += 1
        if self.requests == self.dies_at and not self.after:
            raise Killed
        answer = await request()
        self.seen()
        if self.requests == self.dies_at:
            raise Killed
        return answer


@dataclass
class Bench:
    """An issuer that may be killed and started anew, and what holds at every moment."""

    cluster: MortalCluster = field(default_factory=MortalCluster)
    store: Store = field(default_factory=Store)
    made: list[Key] = field(default_factory=list)
    now: Any = NOON
    was_shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster.put("apikeys", an_api_key())
        self.cluster.seen = self.look

    def make(self) -> Key:
        """The next key."""
        number = len(self.made) + 1
        self.made.append(make_key(number.to_bytes(8, "big"), number.to_bytes(32, "big")))
        return self.made[-1]

    def look(self) -> None:
        """What the Secret shows is valid, and no more keys are than one beside it."""
        shown = self.shown
        if shown is not None:
            assert shown in self.valid
            if shown not in self.was_shown[-1:]:
                self.was_shown.append(shown)
        assert len(self.valid) <= 2

    @property
    def status(self) -> Json:
        """The APIKey's status."""
        return dict(self.cluster.objects[APP].get("status") or {})

    @property
    def shown(self) -> str | None:
        """Id of the key in the Secret, whose annotation says the same."""
        secret = self.cluster.objects.get(SECRET)
        if secret is None:
            return None
        found = str(secret["metadata"]["annotations"][KEY_ID_ANNOTATION])
        assert f"_{found}." in secret["stringData"]["OPENAI_API_KEY"]
        return found

    @property
    def valid(self) -> list[str]:
        """Ids whose digests the gateway takes."""
        status = self.status
        found = [status[part] for part in ("id",) if part in status]
        return [*found, *([status["previous"]["id"]] if "previous" in status else [])]

    def wants(self, serial: int, overlap: str = "24h") -> None:
        """The user sets another serial."""
        self.cluster.objects[APP]["spec"] = {"rotation": {"serial": serial, "overlap": overlap}}
        metadata = self.cluster.objects[APP]["metadata"]
        self.cluster.version += 1
        metadata |= {"generation": metadata["generation"] + 1, "resourceVersion": str(self.cluster.version)}

    async def reconcile(self) -> float | None:
        """Once, with what the API server has now."""
        self.store.put("apikeys", self.cluster.objects[APP])
        issuer = KeyIssuer(self.store, self.cluster, INSTALL, PEPPER, self.make, lambda: self.now, "host")
        return await issuer.reconcile(("team-a", "app"))

    async def killed_at(self, request: int, *, after: bool) -> None:
        """Reconciled by a process that dies, and then by another one that knows only what the API server has."""
        self.cluster.requests, self.cluster.dies_at, self.cluster.after = 0, request, after
        with pytest.raises(Killed):
            await self.reconcile()
        self.cluster.dies_at = None
        self.store = Store()
        await self.reconcile()


@pytest.fixture
async def bench() -> Bench:
    """With a key that is shown."""
    found = Bench()
    await found.reconcile()
    return found


async def test_another_serial_shows_another_key_and_the_one_before_stays_for_the_overlap(bench: Bench) -> None:
    before = bench.shown
    bench.wants(2, overlap="1h")
    assert await bench.reconcile() == pytest.approx(3600.1)
    assert bench.shown == bench.status["id"] != before
    assert bench.status["digest"] == digest(PEPPER, bench.made[1])
    assert (bench.status["serial"], bench.valid) == (2, [bench.shown, before])
    assert bench.status["previous"] == {
        "id": before,
        "digest": digest(PEPPER, bench.made[0]),
        "validUntil": "2026-01-31T13:00:00Z",
    }
    writes = len(bench.cluster.writes)
    bench.now = NOON + timedelta(minutes=59)
    assert await bench.reconcile() == pytest.approx(60.1)
    assert len(bench.cluster.writes) == writes
    bench.now = NOON + timedelta(minutes=60)
    assert await bench.reconcile() is None
    assert bench.valid == [bench.shown]
    assert len(bench.made) == 2


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after"])
@pytest.mark.parametrize("request_number", [1, 2, 3, 4])
async def test_killed_at_any_request_a_rotation_converges(request_number: int, after: bool, bench: Bench) -> None:
    before = bench.shown
    bench.wants(2)
    await bench.killed_at(request_number, after=after)
    assert bench.valid == [bench.shown, before]
    assert bench.was_shown == [before, bench.shown]
    assert bench.status["previous"]["validUntil"] == "2026-02-01T12:00:00Z"
    assert bench.status["serial"] == 2


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after"])
@pytest.mark.parametrize("request_number", [1, 2, 3, 4])
async def test_killed_at_any_request_a_first_key_is_shown_once(request_number: int, after: bool) -> None:
    bench = Bench()
    await bench.killed_at(request_number, after=after)
    assert bench.valid == [bench.shown]
    assert len(bench.was_shown) == 1


@pytest.mark.parametrize("request_number", [2, 3])
async def test_killed_and_then_asked_for_yet_another_none_that_was_shown_ends_early(
    request_number: int, bench: Bench
) -> None:
    bench.wants(2)
    bench.cluster.requests, bench.cluster.dies_at, bench.cluster.after = 0, request_number, True
    with pytest.raises(Killed):
        await bench.reconcile()
    bench.cluster.dies_at, bench.store = None, Store()
    last_shown = bench.shown
    bench.wants(3)
    await bench.reconcile()
    assert bench.valid == [bench.shown, last_shown]
    assert bench.status["serial"] == 3


async def test_a_second_rotation_ends_the_overlap_of_the_first(bench: Bench) -> None:
    bench.wants(2)
    await bench.reconcile()
    second = bench.shown
    bench.wants(3)
    await bench.reconcile()
    assert bench.valid == [bench.shown, second]


async def test_a_late_write_of_a_dead_process_does_not_show_a_key_that_is_not_valid(bench: Bench) -> None:
    stale = bench.cluster.objects[SECRET]["metadata"] | {"annotations": {KEY_ID_ANNOTATION: "dead"}}
    bench.wants(2)
    await bench.reconcile()
    assert stale["resourceVersion"] != bench.cluster.objects[SECRET]["metadata"]["resourceVersion"]
    with pytest.raises(Exception, match="has been modified"):
        await bench.cluster.apply("secrets", {"kind": "Secret", "metadata": stale}, force=True)


async def test_a_rotation_over_a_secret_that_is_not_ours_leaves_the_key_as_it_is(bench: Bench) -> None:
    before = bench.status
    bench.cluster.objects[SECRET]["metadata"]["ownerReferences"] = []
    bench.wants(2)
    assert await bench.reconcile() == 30.0
    assert {part: bench.status[part] for part in ("id", "digest", "serial")} == {
        part: before[part] for part in ("id", "digest", "serial")
    }
    del bench.cluster.objects[SECRET]
    await bench.reconcile()
    assert bench.valid == [bench.shown, before["id"]]


async def test_a_key_of_an_older_version_has_the_first_serial(bench: Bench) -> None:
    del bench.cluster.objects[APP]["status"]["serial"]
    bench.wants(1)
    await bench.reconcile()
    assert len(bench.made) == 1


SHOWN = {"id": "b", "serial": 2, "previous": {"id": "a", "digest": "x", "validUntil": "2026-01-31T13:00:00Z"}}


@pytest.mark.parametrize(
    ("spec", "until"),
    [
        ({}, "2026-01-31T13:00:00Z"),
        ({"rotation": {"serial": 2}}, "2026-01-31T13:00:00Z"),
        ({"rotation": {"serial": 2, "overlap": "10m"}}, "2026-01-31T12:10:00Z"),
        ({"rotation": {"serial": 2, "overlap": "0s"}}, None),
    ],
    ids=["no word", "longer", "shorter", "at once"],
)
def test_a_shorter_overlap_ends_the_key_before_sooner(spec: Json, until: str | None) -> None:
    found = valid(SHOWN, APIKeySpec.model_validate(spec), NOON)
    assert found.get("previous", {}).get("validUntil") == until


def test_without_a_word_on_rotation_the_key_that_is_there_is_wanted() -> None:
    assert wanted_serial(APIKeySpec(), {"serial": 7}) == 7
    assert wanted_serial(APIKeySpec(), {}) == 1
