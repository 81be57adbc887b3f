"""Who leads, as a clock goes on and Leases are renewed, taken, lost and given up."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from llmservice_operator.cluster import ApiError
from llmservice_operator.leader import Elector, NotLeaderError, terms
from tests.unit.operator.builders import NOON

Json = dict[str, Any]
NAME = "llmservice-operator"


@dataclass
class Leases:
    """One Lease as an API server keeps it; `fails` is raised before a write, `loses` after it was committed."""

    lease: Json | None = None
    fails: Exception | None = None
    loses: Exception | None = None
    version: int = 0
    writes: int = 0

    async def get(self, plural: str, namespace: str, name: str) -> Json | None:
        assert (plural, namespace, name) == ("leases", "system", NAME)
        if self.fails is not None:
            raise self.fails
        return self.lease

    async def create(self, plural: str, obj: Json) -> Json:
        assert plural == "leases"
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "it is there")
        return self._put(obj)

    async def replace(self, plural: str, obj: Json) -> Json:
        assert (plural, self.lease is not None) == ("leases", True)
        if obj["metadata"]["resourceVersion"] != (self.lease or {})["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "changed meanwhile")
        return self._put(obj)

    def _put(self, obj: Json) -> Json:
        self.version += 1
        self.writes += 1
        self.lease = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.version)}}
        if self.loses is not None:
            raise self.loses
        return self.lease

    @property
    def holder(self) -> str:
        return str((self.lease or {})["spec"]["holderIdentity"])


@dataclass
class Scene:
    """Several electors of one Lease and one clock."""

    leases: Leases = field(default_factory=Leases)
    now: float = 1000.0

    def elector(self, identity: str, leases: Leases | None = None) -> Elector:
        return Elector(leases or self.leases, "system", identity, terms(15), lambda: self.now, lambda: NOON)


async def test_the_first_leads_and_renews_every_two_seconds() -> None:
    scene = Scene()
    one = scene.elector("one")
    assert not one.leads
    for number in range(20):
        assert await one.step() == 2
        assert one.leads
        assert scene.leases.writes == number + 1
        scene.now += 2
    spec = (scene.leases.lease or {})["spec"]
    assert spec["acquireTime"] == spec["renewTime"] == "2026-01-31T12:00:00.000000Z"
    assert (spec["leaseTransitions"], spec["leaseDurationSeconds"]) == (0, 15)


async def test_a_standby_takes_over_15_s_after_it_last_saw_a_renewal_and_looks_at_that_moment() -> None:
    scene = Scene()
    one, two = scene.elector("one"), scene.elector("two")
    await one.step()
    scene.now += 1
    assert await two.step() == 2
    for _ in range(7):
        scene.now += 2
        wait = await two.step()
        assert not two.leads
    assert wait == 1
    scene.now += 1
    await two.step()
    assert (two.leads, scene.leases.holder) == (True, "two")
    assert (scene.leases.lease or {})["spec"]["leaseTransitions"] == 1


async def test_a_renewal_that_is_seen_starts_the_wait_anew() -> None:
    scene = Scene()
    one, two = scene.elector("one"), scene.elector("two")
    for _ in range(30):
        await one.step()
        await two.step()
        scene.now += 2
    assert (two.leads, scene.leases.holder) == (False, "one")


async def test_a_leader_that_was_stopped_may_not_write_and_ends_without_a_request() -> None:
    scene = Scene()
    one = scene.elector("one")
    await one.step()
    scene.now += 9.9
    one.require()
    scene.now += 0.1
    with pytest.raises(NotLeaderError, match="one does not hold Lease llmservice-operator"):
        one.require()
    with pytest.raises(NotLeaderError):
        await one.step()
    assert scene.leases.writes == 1


async def test_writing_stops_five_seconds_before_another_may_lead() -> None:
    scene = Scene()
    one, two = scene.elector("one"), scene.elector("two")
    await one.step()
    await two.step()
    both = 0
    stopped = None
    for tenth in range(200):
        scene.now = 1000 + tenth / 10
        if not one.leads and stopped is None:
            stopped = scene.now
        await two.step()
        both += one.leads and two.leads
        if two.leads:
            break
    assert (both, stopped, round(scene.now, 1)) == (0, 1010.0, 1015.0)


@pytest.mark.parametrize("error", [ApiError(503, "Unavailable", "x"), OSError("reset"), TimeoutError()])
async def test_failed_renewals_are_tried_again_until_ten_seconds_are_over(error: Exception) -> None:
    scene = Scene()
    one = scene.elector("one")
    await one.step()
    scene.leases.fails = error
    for _ in range(4):
        scene.now += 2
        assert await one.step() == 2
        assert one.leads
    scene.now += 2
    with pytest.raises(NotLeaderError):
        await one.step()


async def test_a_renewal_whose_answer_is_lost_is_found_to_be_ours() -> None:
    scene = Scene()
    one = scene.elector("one")
    await one.step()
    scene.leases.loses = ApiError(503, "Unreachable", "cut")
    scene.now += 2
    await one.step()
    scene.leases.loses = None
    scene.now += 2
    await one.step()
    scene.now += 9
    assert (one.leads, scene.leases.writes) == (True, 3)


async def test_a_leader_that_sees_another_one_ends_at_once() -> None:
    scene = Scene()
    one = scene.elector("one")
    await one.step()
    lease = scene.leases.lease or {}
    scene.leases.lease = lease | {"spec": lease["spec"] | {"holderIdentity": "two"}}
    scene.now += 2
    with pytest.raises(NotLeaderError, match="taken by two"):
        await one.step()
    assert not one.leads
    await one.release()
    assert scene.leases.holder == "two"


async def test_of_two_that_take_a_free_lease_one_leads() -> None:
    scene = Scene()
    one, two = scene.elector("one"), scene.elector("two")
    await one.step()
    await one.release()
    seen = scene.leases.lease

    class Stale(Leases):
        async def get(self, plural: str, namespace: str, name: str) -> Json | None:
            return seen if (plural, namespace, name) == ("leases", "system", NAME) else None

        async def replace(self, plural: str, obj: Json) -> Json:
            return await scene.leases.replace(plural, obj)

    late = scene.elector("late", Stale())
    await two.step()
    await late.step()
    assert (two.leads, late.leads, scene.leases.holder) == (True, False, "two")


async def test_what_is_given_up_is_taken_at_once() -> None:
    scene = Scene()
    one, two = scene.elector("one"), scene.elector("two")
    await one.step()
    await two.step()
    await one.release()
    assert not one.leads
    await two.step()
    assert two.leads


async def test_what_cannot_be_given_up_lapses(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    one = scene.elector("one")
    await one.step()
    scene.leases.fails = ApiError(503, "Unavailable", "x")
    await one.release()
    assert (one.leads, scene.leases.holder) == (False, "one")
    assert "will lapse" in caplog.text


async def test_elected_is_told_once_and_the_loss_ends_the_run() -> None:
    scene = Scene()
    one = scene.elector("one")
    told = asyncio.Event()
    running = asyncio.create_task(one.run(told.set))
    await asyncio.wait_for(told.wait(), 5)
    scene.now += 11
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(NotLeaderError):
        await one.run(lambda: pytest.fail("elected twice"))
