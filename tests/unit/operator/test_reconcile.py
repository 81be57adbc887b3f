"""One LLMService, once: from what the watches delivered to what is written."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from llmservice_api.llmservice import Endpoint
from llmservice_operator.cluster import ApiError
from llmservice_operator.metrics import Metrics
from llmservice_operator.observed import Probe, Question
from llmservice_operator.reconcile import Reconciler
from llmservice_operator.resources.ingress import make_ingress
from llmservice_operator.store import Store
from tests.unit.operator.builders import INSTALL, NOON, AnEngine, APod, APool, AService, a_node, service_ref
from tests.unit.operator.memory import MemoryCluster
from tests.unit.operator.world import ANSWERS

Json = dict[str, Any]
KEY = ("team-a", "m")


@dataclass
class FakeProber:
    """Answers as the test says, and keeps who was asked."""

    engine_answer: Probe = ANSWERS
    route_answer: Probe = ANSWERS
    progress_answer: Json | None = None
    adapter_answers: dict[str, list[Json]] = field(default_factory=dict)
    replica_answer: Json | None = None
    asked: list[str] = field(default_factory=list)

    async def engine(self, address: str, question: Question) -> Probe:
        """A revision's Service."""
        self.asked.append(f"{question.model} at {address}")
        return self.engine_answer

    async def adapters(self, address: str) -> list[Json] | None:
        """A replica's adapters."""
        self.asked.append(f"adapters at {address}")
        return self.adapter_answers.get(address)

    async def replica(self, address: str) -> Json | None:
        """A replica, of itself."""
        self.asked.append(f"state at {address}")
        return self.replica_answer

    async def cause(self, address: str) -> str:
        """A replica without an engine."""
        return f"{address}: exit code -9"

    async def route(self, namespace: str, name: str, question: Question, address: str) -> Probe:
        """Through the gateway."""
        self.asked.append(f"{question.model} through /{namespace}/{name} to {address}")
        return self.route_answer

    async def progress(self, address: str) -> Json | None:
        """A download."""
        self.asked.append(f"progress at {address}")
        return self.progress_answer


@dataclass
class Bench:
    """A reconciler over objects in memory."""

    cluster: MemoryCluster
    store: Store
    prober: FakeProber
    reconciler: Reconciler

    def seen(self, plural: str, obj: Json) -> None:
        """The object exists, or has changed, and a watch delivered it."""
        self.cluster.version += 1
        obj = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.cluster.version)}}
        self.store.put(plural, self.cluster.objects[self.cluster.put(plural, obj)])

    async def reconcile(self) -> float | None:
        """Once."""
        return await self.reconciler.reconcile(KEY)

    async def settle(self) -> float | None:
        """As often as it asks for its own next step at once; no watch says what it wrote."""
        for _ in range(9):
            wait = await self.reconcile()
            if wait != 0:
                return wait
        raise AssertionError("it never has enough")

    @property
    def status(self) -> Json:
        """The status at the API server."""
        return dict(self.cluster.objects[service_ref()].get("status") or {})

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason."""
        found = next(item for item in self.status["conditions"] if item["type"] == kind)
        return found["status"], found["reason"]

    def engine_runs(self, revision: str | None = None) -> str:
        """KubeRay has brought a revision up, by default the one."""
        (ref,) = [ref for ref in self.cluster.objects if ref.plural == "rayservices" and revision in (None, ref.name)]
        engine = self.cluster.objects[ref] | {"status": AnEngine().running().build()}
        for plural, obj in (("rayservices", engine), ("pods", APod(ref.name).ready().build())):
            self.seen(plural, obj)
        return ref.name


@pytest.fixture
def bench() -> Bench:
    cluster, store, prober = MemoryCluster(), Store(), FakeProber()
    found = Bench(cluster, store, prober, Reconciler(store, cluster, prober, INSTALL, lambda: NOON, "host"))
    found.seen("gpupools", {"metadata": {"name": "cpu", "uid": "p"}, "spec": APool().wire()})
    found.seen("nodes", a_node())
    found.seen("llmservices", AService().build())
    return found


async def test_from_nothing_to_ready_and_then_silence(bench: Bench) -> None:
    await bench.reconcile()
    assert bench.condition("Ready") == ("False", "Loading")
    revision = bench.engine_runs()
    assert await bench.settle() is None
    assert bench.condition("Ready") == ("True", "Serving")
    assert bench.status["revision"] == {"active": revision}
    assert bench.prober.asked == ["m at 10.96.0.9:8000", "m through /team-a/m to 10.96.0.9:8000"]
    writes = len(bench.cluster.writes)
    for _ in range(3):
        await bench.reconcile()
    assert (len(bench.cluster.writes), len(bench.prober.asked)) == (writes, 2)


async def test_the_first_replica_is_asked_how_long_its_first_requests_took(bench: Bench) -> None:
    await bench.reconcile()
    revision = bench.engine_runs()
    bench.seen("pods", APod(revision).came_up().at("10.0.0.1").build())
    bench.prober.replica_answer = {"start": {"warm_up": 2.0}}
    await bench.settle()
    assert bench.status["coldStartSeconds"]["warmUp"] == 2
    assert bench.prober.asked.count("state at 10.0.0.1:8090") == 1


async def test_a_decision_of_the_rule_is_asked_for_once_and_then_no_more(bench: Bench) -> None:
    bench.seen("llmservices", AService().spec(scaling={"minReplicas": 1, "maxReplicas": 4}).build())
    await bench.reconcile()
    revision = bench.engine_runs()
    await bench.settle()
    said = {"from": 1, "to": 3, "cause": "Rate", "reason": "up to 3", "at": NOON.timestamp() + 0.5}
    bench.prober.replica_answer = {"scaling": said}
    pod = a_worker(revision, "", "10.0.0.1")
    bench.seen("pods", pod)
    cluster = AnEngine().workers(3).cluster(revision)
    bench.seen("rayclusters", cluster | {"metadata": pod["metadata"] | {"name": revision}})
    await bench.settle()
    assert bench.status["scaling"]["toReplicas"] == 3
    writes = len(bench.cluster.writes)
    for _ in range(3):
        await bench.reconcile()
    assert (len(bench.cluster.writes), bench.prober.asked.count("state at 10.0.0.1:8090")) == (writes, 1)


async def test_replicas_are_asked_for_adapters_until_they_have_loaded_them_and_then_no_more(bench: Bench) -> None:
    adapters = [{"name": "a", "source": "pvc://c/a"}]
    bench.cluster.put("persistentvolumeclaims", {"metadata": {"name": "c", "namespace": "team-a"}})
    bench.seen("llmservices", AService().spec(adapters=adapters).build())
    await bench.reconcile()
    revision = bench.engine_runs()
    bench.seen("pods", a_worker(revision, "one", "10.0.0.1"))
    assert (await bench.settle(), bench.condition("AdaptersReady")) == (2.0, ("False", "Loading"))
    bench.prober.adapter_answers["10.0.0.1:8090"] = [{**adapters[0], "state": "Loaded"}]
    await bench.reconcile()
    assert bench.status["adapters"] == [{"name": "a", "state": "Loaded"}]
    steady = (len(bench.cluster.writes), len(bench.prober.asked))
    assert [await bench.reconcile() for _ in range(3)] == [None, None, None]
    assert (len(bench.cluster.writes), len(bench.prober.asked)) == steady
    bench.seen("pods", a_worker(revision, "two", "10.0.0.2"))
    assert await bench.settle() == 10.0
    assert set(bench.prober.asked[steady[1] :]) == {"adapters at 10.0.0.2:8090"}
    bench.prober.adapter_answers["10.0.0.2:8090"] = [{**adapters[0], "state": "Failed", "reason": "Corrupt"}]
    assert await bench.settle() == 30.0
    assert bench.status["adapters"] == [{"name": "a", "state": "Failed", "reason": "Corrupt"}]
    assert bench.condition("Ready") == ("True", "Serving")


def a_worker(revision: str, name: str, ip: str) -> Json:
    """A ready worker pod with an address."""
    pod = APod(revision, name=name).ready().build()
    return pod | {"status": pod["status"] | {"podIP": ip}}


async def test_an_engine_change_ends_though_no_watch_tells_of_what_was_written(bench: Bench) -> None:
    bench.seen("llmservices", AService().spec(rollout={"drain": "0s"}).metadata(resourceVersion="2").build())
    await bench.reconcile()
    old = bench.engine_runs()
    await bench.settle()
    changed = bench.cluster.objects[service_ref()]
    changed["spec"]["model"]["source"] = "hf://org/other"
    bench.cluster.version += 1
    changed["metadata"] |= {"generation": 2, "resourceVersion": str(bench.cluster.version)}
    bench.seen("llmservices", changed)
    await bench.settle()
    (new,) = [ref.name for ref in bench.cluster.objects if ref.plural == "rayservices" and ref.name != old]
    bench.engine_runs(new)
    assert await bench.settle() is None
    assert bench.status["revision"]["active"] == new
    assert [ref.name for ref in bench.cluster.objects if ref.plural == "rayservices"] == [new]


async def test_what_was_made_is_told_by_one_status(bench: Bench) -> None:
    await bench.settle()
    assert [write.verb for write in bench.cluster.writes] == ["apply"] * 4 + ["status"]
    assert bench.condition("EngineReady") == ("False", "Starting")


async def test_events_tell_of_each_turn_once(bench: Bench) -> None:
    await bench.reconcile()
    bench.engine_runs()
    for _ in range(4):
        await bench.reconcile()
    told = [event["message"].split(":")[0] + " " + event["reason"] for event in bench.cluster.events]
    assert told == [
        "Progressing RollingOut",
        "Ready Serving",
    ]


async def test_a_silent_engine_is_asked_again_soon_and_said_once(bench: Bench) -> None:
    await bench.reconcile()
    bench.engine_runs()
    bench.prober.engine_answer = Probe(error="HTTP 503: loading")
    assert [await bench.reconcile() for _ in range(3)] == [0, 10.0, 10.0]
    assert bench.condition("EngineReady") == ("False", "ProbeFailed")
    writes = len(bench.cluster.writes)
    await bench.reconcile()
    assert len(bench.cluster.writes) == writes


async def test_no_kuberay_is_said_and_looked_at_again(bench: Bench) -> None:
    bench.cluster.refusals["apply", "rayservices"] = ApiError(404, "NotFound", "the server could not find it")
    assert await bench.settle() == 30.0
    assert bench.condition("EngineReady") == ("False", "KubeRayMissing")
    writes = len([write for write in bench.cluster.writes if write.verb == "status"])
    await bench.reconcile()
    assert len([write for write in bench.cluster.writes if write.verb == "status"]) == writes
    del bench.cluster.refusals["apply", "rayservices"]
    await bench.reconcile()
    assert bench.condition("EngineReady") == ("False", "Starting")


async def test_a_foreign_child_is_said_and_nothing_of_it_is_changed(bench: Bench) -> None:
    foreign = {"metadata": {"name": "m", "namespace": "team-a", "uid": "theirs"}, "spec": {}}
    ref = bench.cluster.put("networkpolicies", foreign, foreign=True)
    assert await bench.settle() == 30.0
    assert bench.condition("Accepted") == bench.condition("Ready") == ("False", "ChildNotOwned")
    assert bench.cluster.objects[ref] == foreign


async def test_a_missing_claim_is_looked_at_again(bench: Bench) -> None:
    service = AService().spec(model={"source": "pvc://models/m"}).metadata(resourceVersion="2").build()
    bench.seen("llmservices", service)
    assert await bench.settle() == 30.0
    assert bench.condition("ModelReady") == ("False", "ClaimMissing")
    bench.cluster.put("persistentvolumeclaims", {"metadata": {"name": "models", "namespace": "team-a"}})
    await bench.reconcile()
    assert bench.condition("ModelReady") == ("False", "Loading")


INVALID: dict[str, tuple[Json, str]] = {
    "a field of an older schema": ({"model": {"source": "hf://o/m"}, "gone": 1}, "spec.gone: Extra inputs"),
    "no model": ({}, "spec.model: Field required"),
    "an alias that is the name": ({"model": {"source": "hf://o/m", "aliases": ["m"]}}, "aliases"),
}


@pytest.mark.parametrize(("spec", "text"), INVALID.values(), ids=INVALID)
async def test_a_spec_that_cannot_be_carried_out_is_a_condition_not_a_crash(
    spec: Json, text: str, bench: Bench
) -> None:
    service = AService().metadata(resourceVersion="2").build() | {"spec": spec}
    bench.seen("llmservices", service)
    assert await bench.reconcile() is None
    assert bench.condition("Accepted") == bench.condition("Ready") == ("False", "InvalidSpec")
    assert text in bench.status["conditions"][0]["message"]
    writes = len(bench.cluster.writes)
    await bench.reconcile()
    assert len(bench.cluster.writes) == writes


async def test_a_poisoned_pool_harms_no_service_that_does_not_name_it(bench: Bench) -> None:
    bench.seen("gpupools", {"metadata": {"name": "a-bad-one", "uid": "q"}, "spec": {"image": 7}})
    await bench.reconcile()
    assert bench.status["placement"]["pool"] == "cpu"


async def test_a_deleted_services_ingress_goes(bench: Bench) -> None:
    mine, other = (
        make_ingress("team-a", name, Endpoint(host=f"{name}.example.com"), INSTALL.namespace) for name in ("m", "n")
    )
    for obj in (mine, other):
        obj["metadata"]["uid"] = obj["metadata"]["name"]
        bench.seen("ingresses", obj)
    bench.store.remove(service_ref())
    assert await bench.reconcile() is None
    assert [write.name for write in bench.cluster.writes] == [mine["metadata"]["name"]]


async def test_a_service_that_is_being_deleted_gets_nothing_new(bench: Bench) -> None:
    gone = AService().metadata(deletionTimestamp="2026-01-31T12:00:00Z", resourceVersion="2").build()
    bench.seen("llmservices", gone)
    assert await bench.reconcile() is None
    assert bench.cluster.writes == []


async def test_deleted_between_event_and_status(bench: Bench) -> None:
    del bench.cluster.objects[service_ref()]
    await bench.reconcile()
    assert bench.cluster.events == []


async def test_a_host_of_another_service_is_left_to_it(bench: Bench) -> None:
    endpoint = {"host": "a.example.com"}
    bench.seen("llmservices", AService("older").spec(endpoint=endpoint).build())
    theirs = make_ingress("team-a", "older", Endpoint(host="a.example.com"), INSTALL.namespace)
    theirs["metadata"]["uid"] = "i"
    bench.seen("ingresses", theirs)
    bench.seen("llmservices", AService().spec(endpoint=endpoint).metadata(resourceVersion="2").build())
    await bench.reconcile()
    assert bench.condition("Accepted") == ("False", "HostTaken")
    bench.store.remove(service_ref("older"))
    await bench.reconcile()
    assert bench.condition("Accepted") == ("True", "Valid")


async def test_a_model_name_that_an_older_service_has_is_looked_at_again(bench: Bench) -> None:
    bench.seen("llmservices", AService("a").model(name="x").build())
    bench.seen("llmservices", AService().model(name="x").metadata(resourceVersion="2").build())
    await bench.reconcile()
    bench.engine_runs()
    assert await bench.settle() == 30.0
    assert bench.condition("Accepted") == ("True", "NameTaken")
    assert bench.condition("Ready")[0] == "True"
    bench.store.remove(service_ref("a"))
    assert await bench.settle() is None
    assert bench.condition("Accepted") == ("True", "Valid")


async def test_an_error_that_may_pass_is_raised_for_the_queue(bench: Bench) -> None:
    bench.cluster.refusals["status", "llmservices"] = ApiError(500, "InternalError", "etcd")
    with pytest.raises(ApiError):
        await bench.reconcile()


async def test_the_gateways_fields_of_status_are_neither_written_nor_a_reason_to_write(bench: Bench) -> None:
    bench.seen("llmservices", AService().spec(replicas=0).build())
    await bench.reconcile()
    bench.engine_runs()
    for _ in range(3):
        await bench.reconcile()
    woken = bench.cluster.objects[service_ref()]
    said = {"gateway": {"requestedAt": "2026-01-31T11:00:00Z", "requests": 3}}
    woken["status"] |= {"wakeRequestedAt": "2026-01-31T11:00:00Z", "wakes": said}
    bench.seen("llmservices", woken)
    writes = len(bench.cluster.writes)
    for _ in range(3):
        await bench.reconcile()
    assert len(bench.cluster.writes) == writes
    assert (bench.status["wakeRequestedAt"], bench.status["wakes"]) == ("2026-01-31T11:00:00Z", said)


async def test_a_cold_start_is_counted_when_status_comes_to_tell_of_it_and_not_again_after_a_restart(
    bench: Bench,
) -> None:
    await bench.reconcile()
    revision = bench.engine_runs()
    bench.seen("pods", APod(revision).came_up().build())
    counts = []
    for _ in range(2):
        registry = CollectorRegistry()
        bench.reconciler = replace(bench.reconciler, on_status=Metrics(registry).status_written)
        for _ in range(3):
            await bench.reconcile()
        found = {"pool": "cpu", "phase": "total"}
        counts.append(registry.get_sample_value("llmservice_cold_start_seconds_count", found))
    assert counts == [1, None]
    assert bench.status["coldStartSeconds"]["total"] == 100
