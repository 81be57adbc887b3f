"""What a RayService says of parallel engines, of pods that go, and of Ray's own state."""

import json
from typing import Any

import pytest

from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.observed import RedisStore
from llmservice_operator.resources.disruptionbudget import make_disruption_budget
from llmservice_operator.resources.rayservice import make_ray_service, revision_name
from llmservice_operator.resources.worker_args import live_args, worker_args
from llmservice_worker.application import application
from tests.unit.operator.builders import APool, AService

Json = dict[str, Any]
SERVICE = AService().build()
H100 = APool().gpu(per_node=8, product="NVIDIA-H100").having(worker={"cpu": "16", "memory": "256Gi"}, maxNodes=8)


def spec(**fields: Any) -> LLMServiceSpec:
    """A spec with parts set."""
    return LLMServiceSpec.model_validate(SERVICE["spec"] | fields)


def ray_service(pool: APool | None = None, store: RedisStore | None = None, **fields: Any) -> Json:
    """The spec of a RayService."""
    obj = make_ray_service(SERVICE, spec(**fields), (pool or APool()).build(), "l4", "m-abc123", store)
    return dict(obj["spec"])


def workers(obj: Json) -> Json:
    """The worker group."""
    (group,) = obj["rayClusterConfig"]["workerGroupSpecs"]
    return dict(group)


def test_a_replica_over_two_nodes_takes_two_pods() -> None:
    group = workers(ray_service(H100, engine={"tensorParallel": 8, "pipelineParallel": 2}, replicas=3))
    assert (group["replicas"], group["maxReplicas"]) == (6, 8)
    assert group["rayStartParams"]["num-gpus"] == "8"
    assert group["template"]["metadata"]["labels"]["llmservice.io/replica-pods"] == "2"


def test_a_pod_that_is_a_replica_says_nothing_of_parts() -> None:
    group = workers(ray_service(H100, engine={"tensorParallel": 8}, replicas=3))
    assert group["replicas"] == 3
    assert "llmservice.io/replica-pods" not in group["template"]["metadata"]["labels"]


def test_a_prefetched_model_is_there_before_a_worker_is_asked_for() -> None:
    model = {"source": "s3://bucket/m", "cacheClaim": "cache", "credentialsSecretRef": {"name": "keys"}}
    plain, ahead = (ray_service(model=model | {"prefetch": each}, replicas=3) for each in (False, True))
    assert (workers(plain)["replicas"], workers(ahead)["replicas"]) == (3, 0)
    heads = [each["rayClusterConfig"]["headGroupSpec"]["template"]["spec"] for each in (plain, ahead)]
    assert "initContainers" not in heads[0]
    (fetch,) = heads[1]["initContainers"]
    (of_worker,) = workers(ahead)["template"]["spec"]["initContainers"]
    assert fetch == of_worker, "the same bytes, in the same place, with the same keys"
    assert {mount["name"] for mount in fetch["volumeMounts"]} <= {volume["name"] for volume in heads[1]["volumes"]}


def test_prefetching_makes_no_other_revision() -> None:
    model = {"source": "s3://bucket/m", "cacheClaim": "cache"}
    names = {revision_name("m", spec(model=model | {"prefetch": each}), APool().build()) for each in (False, True)}
    assert len(names) == 1


@pytest.mark.parametrize(("replicas", "least"), [(0, 0), (1, 0), (2, 3), (3, 5)])
def test_one_pod_of_a_pipeline_may_go_at_a_time(replicas: int, least: int) -> None:
    wanted = spec(replicas=replicas, engine={"pipelineParallel": 2})
    assert make_disruption_budget(SERVICE, wanted)["spec"]["minAvailable"] == least


@pytest.mark.parametrize(("memory", "size"), [("6Gi", "1536Mi"), ("256Gi", "65536Mi"), ("3000M", "715Mi")])
def test_shared_memory_is_a_quarter_of_a_workers_memory(memory: str, size: str) -> None:
    pod = workers(ray_service(APool().having(worker={"memory": memory})))["template"]["spec"]
    assert {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}} in pod["volumes"]
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


def test_a_pod_finishes_what_it_has_begun_before_it_goes() -> None:
    found = ray_service(rollout={"drain": "2m"})
    pod = workers(found)["template"]["spec"]
    (ray,) = pod["containers"]
    assert ray["lifecycle"]["preStop"]["exec"]["command"] == ["python", "-m", "llmservice_worker.drain", "120"]
    assert pod["terminationGracePeriodSeconds"] > 120
    assert "lifecycle" not in found["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    (deployment,) = json.loads(found["serveConfigV2"])["applications"][0]["deployments"]
    assert deployment["graceful_shutdown_timeout_s"] == 120


def test_where_traces_go_is_a_matter_of_the_engine_and_so_of_the_revision() -> None:
    endpoint = "http://otel:4318"
    pool = APool().build()
    assert revision_name("m", spec(), pool) != revision_name("m", spec(), pool, endpoint)
    found = make_ray_service(SERVICE, spec(), pool, "cpu", "m-abc123", tracing=endpoint)["spec"]
    assert json.loads(found["serveConfigV2"])["applications"][0]["args"]["tracing_endpoint"] == endpoint
    assert "tracing_endpoint" not in json.loads(ray_service()["serveConfigV2"])["applications"][0]["args"]


def test_a_worker_names_the_port_that_is_scraped() -> None:
    (ray,) = workers(ray_service())["template"]["spec"]["containers"]
    assert {"containerPort": 8090, "name": "side"} in ray["ports"]


def test_a_pod_is_ready_while_its_engine_answers() -> None:
    (ray,) = workers(ray_service())["template"]["spec"]["containers"]
    assert ray["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 8090}
    several = workers(ray_service(H100, engine={"tensorParallel": 8, "pipelineParallel": 2}))
    assert "readinessProbe" not in several["template"]["spec"]["containers"][0]


def test_a_drain_is_no_other_engine() -> None:
    names = {revision_name("m", spec(rollout={"drain": drain}), APool().build()) for drain in ("15s", "5m")}
    assert len(names) == 1


def test_a_task_template_is_no_other_engine_and_reaches_the_running_one() -> None:
    templated = spec(taskTemplates={"answer": "{question}!"})
    assert revision_name("m", templated, APool().build()) == revision_name("m", spec(), APool().build())
    assert live_args(templated).user_config.templates == {"answer": "{question}!"}
    assert live_args(spec()).user_config.templates == {}


def test_without_a_store_a_cluster_keeps_its_state_in_its_head() -> None:
    assert "gcsFaultToleranceOptions" not in ray_service()["rayClusterConfig"]


def test_with_a_store_a_cluster_keeps_its_state_there_under_its_own_uid() -> None:
    store = RedisStore("redis.infra.svc:6379", "redis", "pass")
    options = ray_service(store=store)["rayClusterConfig"]["gcsFaultToleranceOptions"]
    password = {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "pass"}}}
    assert options == {"redisAddress": "redis.infra.svc:6379", "redisPassword": password}
    without = ray_service(store=RedisStore("redis.infra.svc:6379"))["rayClusterConfig"]
    assert without["gcsFaultToleranceOptions"] == {"redisAddress": "redis.infra.svc:6379"}


def test_tasks_are_told_in_one_order() -> None:
    told = [
        worker_args("m", spec(model={"source": "hf://o/m", "tasks": tasks}), APool().build()).tasks
        for tasks in (["Score", "Embed"], ["Embed", "Score"])
    ]
    assert told == [("embed", "score")] * 2
    assert worker_args("m", spec(), APool().build()).tasks == ("generate",)


def test_media_hosts_and_limits_reach_the_engine() -> None:
    model = {"source": "hf://o/m", "mediaHosts": ["b.example.com", "a.example.com"]}
    found = worker_args("m", spec(model=model, engine={"args": {"limitMmPerPrompt": {"image": 2}}}), APool().build())
    assert found.media_hosts == ("a.example.com", "b.example.com")
    assert found.engine.extra.limit_mm_per_prompt == {"image": 2}


def test_what_is_beyond_a_batch_waits_up_to_a_bound_and_the_rest_is_refused_with_a_wait() -> None:
    found = live_args(spec(engine={"args": {"maxNumSeqs": 8}}, hold={"maxRequests": 4}))
    assert found.user_config.max_requests == 8 + 4
    assert live_args(spec(hold={"maxRequests": 0})).user_config.max_requests == 256
    (deployment,) = application("llm", worker_args("m", spec(), APool().build()), found)["deployments"]
    assert deployment["max_ongoing_requests"] > 8 + 4, "Ray Serve must not let wait what the replica refuses"
    assert deployment["backpressure_config"] == {"status_code": 503, "retry_after_s": 1}


def test_a_time_of_more_than_a_week_counts_as_a_week() -> None:
    long = {"upDelay": "169h", "downDelay": "200h", "idleAfter": "9999h"}
    found = live_args(spec(scaling=long, rollout={"drain": "9999h"}))
    delays = (found.scaling.up_delay_s, found.scaling.down_delay_s, found.scaling.idle_after_s, found.drain_s)
    assert delays == (604800,) * 4


def test_a_changed_drain_is_taken_over_by_a_running_engine() -> None:
    before, after = live_args(spec()), live_args(spec(rollout={"drain": "10m"}))
    assert (before.drain_s, after.drain_s) == (300, 600)
    args = worker_args("m", spec(), APool().build())
    first, second = application("llm", args, before), application("llm", args, after)
    assert first["args"] == second["args"]


CLAIMS: dict[str, tuple[APool, dict[str, Any], int, str]] = {
    "two stages, three replicas": (
        H100,
        {"engine": {"tensorParallel": 8, "pipelineParallel": 2}, "replicas": 3},
        0,
        "48",
    ),
    "one that may sleep": (H100, {"scaling": {"minReplicas": 0, "maxReplicas": 4}}, 0, "0"),
    "the same, woken": (H100, {"scaling": {"minReplicas": 0, "maxReplicas": 4}}, 2, "2"),
    "prefetched: its worker is not asked for yet": (
        H100,
        {"model": {"source": "s3://bucket/m", "cacheClaim": "cache", "prefetch": True}},
        0,
        "1",
    ),
    "a CPU pool": (APool(), {"replicas": 3}, 0, "0"),
}


@pytest.mark.parametrize(("pool", "fields", "awake", "count"), CLAIMS.values(), ids=CLAIMS)
def test_it_says_what_it_takes_of_which_pool(pool: APool, fields: dict[str, Any], awake: int, count: str) -> None:
    obj = make_ray_service(SERVICE, spec(**fields), pool.build(), "p", "m-abc123", awake=awake)
    found = obj["metadata"]["annotations"]
    assert (found["llmservice.io/pool"], found["llmservice.io/accelerators"]) == ("p", count)
