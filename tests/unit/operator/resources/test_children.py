"""Golden cases of every child: the fields that others rely on."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_api.llmservice import Endpoint, LLMServiceSpec
from llmservice_operator.resources.disruptionbudget import make_disruption_budget
from llmservice_operator.resources.ingress import ingress_name, make_ingress
from llmservice_operator.resources.metadata import HASH_ANNOTATION, is_intact, sealed
from llmservice_operator.resources.networkpolicy import make_network_policy
from llmservice_operator.resources.rayservice import make_ray_service, revision_name
from llmservice_operator.resources.secret import make_key_secret
from llmservice_operator.resources.service import make_service
from llmservice_operator.resources.worker_args import bounds, claim_of, live_args, local_source, worker_args
from llmservice_worker.fetch.source import Source
from tests.unit.operator.builders import INSTALL, APool, AService, an_api_key

Json = dict[str, Any]
SERVICE = AService().build()
OWNER = {
    "apiVersion": "llmservice.io/v1alpha1",
    "kind": "LLMService",
    "name": "m",
    "uid": "uid-m",
    "controller": True,
    "blockOwnerDeletion": True,
}


def spec(**fields: Any) -> LLMServiceSpec:
    """A spec with parts set."""
    return LLMServiceSpec.model_validate(SERVICE["spec"] | fields)


def ray_service(pool: APool | None = None, **fields: Any) -> Json:
    """The RayService of a spec on a pool."""
    return make_ray_service(SERVICE, spec(**fields), (pool or APool()).build(), "p", "m-abc123")


def groups(obj: Json) -> tuple[Json, Json]:
    """Head and worker group."""
    cluster = obj["spec"]["rayClusterConfig"]
    (workers,) = cluster["workerGroupSpecs"]
    return cluster["headGroupSpec"], workers


def container(group: Json) -> Json:
    """The Ray container: KubeRay wants it first."""
    return dict(group["template"]["spec"]["containers"][0])


CHILDREN = {
    "RayService": (ray_service(), "m-abc123"),
    "Service": (make_service(SERVICE, "m-abc123"), "m-abc123"),
    "NetworkPolicy": (make_network_policy(SERVICE, INSTALL.namespace, INSTALL.kuberay_namespace), "m"),
    "PodDisruptionBudget": (make_disruption_budget(SERVICE, spec()), "m"),
}


@pytest.mark.parametrize(("obj", "name"), CHILDREN.values(), ids=CHILDREN)
def test_a_child_is_named_labelled_owned_and_sealed(obj: Json, name: str) -> None:
    metadata = obj["metadata"]
    assert (metadata["name"], metadata["namespace"]) == (name, "team-a")
    assert metadata["ownerReferences"] == [OWNER]
    assert metadata["labels"]["llmservice.io/service"] == "m"
    assert sum(label.startswith("app.kubernetes.io/") for label in metadata["labels"]) == 6
    assert len(metadata["annotations"][HASH_ANNOTATION]) == 12


def test_service() -> None:
    found = make_service(SERVICE, "m-abc123")["spec"]
    assert found["selector"] == {
        "llmservice.io/service": "m",
        "llmservice.io/revision": "m-abc123",
        "ray.io/serve": "true",
    }
    assert [(port["port"], port["targetPort"]) for port in found["ports"]] == [(8000, 8000)]


@pytest.mark.parametrize(
    ("replicas", "stages", "wanted", "least"),
    [
        (0, 1, 0, 0),
        (0, 1, 1, 0),
        (0, 1, 4, 3),
        (1, 1, 0, 0),
        (1, 1, 1, 0),
        (1, 2, 2, 0),
        (2, 1, 0, 1),
        (2, 2, 0, 3),
        (2, 2, 6, 5),
        (5, 1, 3, 4),
    ],
)
def test_a_drain_takes_one_worker_at_a_time_and_the_only_replica(
    replicas: int, stages: int, wanted: int, least: int
) -> None:
    """`wanted`: worker pods by Ray's autoscaler."""
    wished = spec(replicas=replicas, engine={"pipelineParallel": stages})
    found = make_disruption_budget(SERVICE, wished, wanted)["spec"]
    assert found["minAvailable"] == least
    assert found["selector"]["matchLabels"] == {"llmservice.io/service": "m", "ray.io/node-type": "worker"}


def test_network_policy_lets_in_its_own_the_gateway_and_kuberay_only() -> None:
    found = make_network_policy(SERVICE, INSTALL.namespace, INSTALL.kuberay_namespace)["spec"]
    own, ours, kuberay = found["ingress"]
    assert found["policyTypes"] == ["Ingress"]
    assert own["from"] == [{"podSelector": {"matchLabels": {"llmservice.io/service": "m"}}}]
    assert [port["port"] for port in ours["ports"]] == [8000, 8090, 8091]
    assert ours["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": INSTALL.namespace}
    assert [port["port"] for port in kuberay["ports"]] == [8265, 8000]


def test_network_policy_lets_scrapers_in_where_they_are_named_and_to_the_side_port_only() -> None:
    found = make_network_policy(SERVICE, INSTALL.namespace, INSTALL.kuberay_namespace, "monitoring")["spec"]
    scrapers = found["ingress"][-1]
    assert scrapers["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert scrapers["ports"] == [{"port": 8090, "protocol": "TCP"}]


def test_ingress() -> None:
    endpoint = Endpoint(host="llm.example.com", ingress_class_name="traefik", tls_secret_name="tls")
    found = make_ingress("team-a", "m", endpoint, INSTALL.namespace)
    assert found["metadata"]["namespace"] == INSTALL.namespace
    assert found["metadata"]["name"] == ingress_name("llm.example.com") != ingress_name("other.example.com")
    assert found["metadata"]["labels"]["llmservice.io/namespace"] == "team-a"
    assert "ownerReferences" not in found["metadata"]
    assert list(found["metadata"]["annotations"]) == [HASH_ANNOTATION]
    assert found["spec"]["ingressClassName"] == "traefik"
    assert found["spec"]["tls"] == [{"hosts": ["llm.example.com"], "secretName": "tls"}]
    (rule,) = found["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "gateway", "port": {"name": "http"}}


def test_the_least_ingress_has_the_default_class_and_no_tls() -> None:
    found = make_ingress("team-a", "m", Endpoint(host="a.example.com"), INSTALL.namespace)["spec"]
    assert set(found) == {"rules"}


def test_key_secret() -> None:
    found = make_key_secret(an_api_key(), "1", "llms_1.x", "https://h/v1")
    assert found["type"] == "llmservice.io/api-key"
    assert found["stringData"] == {"OPENAI_API_KEY": "llms_1.x", "OPENAI_BASE_URL": "https://h/v1"}
    assert found["metadata"]["ownerReferences"][0]["kind"] == "APIKey"
    assert found["metadata"]["annotations"] == {"llmservice.io/key-id": "1"}
    assert "resourceVersion" not in found["metadata"]
    again = make_key_secret(an_api_key(), "2", "llms_2.x", "https://h/v1", "17")
    assert again["metadata"]["resourceVersion"] == "17"


def test_ray_service_leaves_upgrades_to_us_and_keeps_load_off_the_head() -> None:
    found = ray_service()["spec"]
    assert found["upgradeStrategy"] == {"type": "None"}
    assert found["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "name" not in found["rayClusterConfig"]["headGroupSpec"].get("headService", {}).get("metadata", {})


def test_serve_config_is_canonical() -> None:
    text = ray_service(engine={"maxModelLen": 8})["spec"]["serveConfigV2"]
    config = json.loads(text)
    assert text == json.dumps(config, sort_keys=True, separators=(",", ":"))
    (application,) = config["applications"]
    assert (application["name"], application["route_prefix"]) == ("llm", "/")
    assert application["import_path"] == "llmservice_worker.app:build"
    assert application["args"]["engine"]["max_model_len"] == 8
    assert None not in application["args"].values()


def test_gpu_workers() -> None:
    pool = APool().gpu(per_node=4).having(maxNodes=8)
    head, workers = groups(ray_service(pool, engine={"tensorParallel": 2}))
    assert container(workers)["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert workers["rayStartParams"]["num-gpus"] == "2"
    assert "nvidia.com/gpu" not in container(head)["resources"]["limits"]
    for group in (head, workers):
        pod = group["template"]["spec"]
        assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert container(group)["image"] == "docker.io/llmservice/worker:cuda"


def test_cpu_workers() -> None:
    _, workers = groups(ray_service())
    assert workers["rayStartParams"]["num-cpus"] == "2"
    assert "num-gpus" not in workers["rayStartParams"]
    assert container(workers)["resources"]["requests"] == {"cpu": "2", "memory": "6Gi"}
    assert "nodeSelector" not in workers["template"]["spec"]


def test_pods_are_restricted() -> None:
    for group in groups(ray_service()):
        pod, ray = group["template"]["spec"], container(group)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert ray["securityContext"]["readOnlyRootFilesystem"]
        assert ray["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not ray["securityContext"]["allowPrivilegeEscalation"]
        assert not {"hostNetwork", "hostPID", "serviceAccountName"} & set(pod)
        assert "memory" in ray["resources"]["limits"]
    head, workers = groups(ray_service())
    assert not workers["template"]["spec"]["automountServiceAccountToken"]
    assert head["template"]["spec"]["automountServiceAccountToken"]  # the autoscaler's


def test_prompts_stay_out_of_logs() -> None:
    for group in groups(ray_service()):
        environment = {item["name"]: item.get("value") for item in container(group)["env"]}
        assert environment["RAYLLM_ENABLE_REQUEST_PROMPT_LOGS"] == "0"


def test_a_claim_is_mounted_read_only() -> None:
    for group in groups(ray_service(model={"source": "pvc://models/a/b"})):
        mount = {"name": "model", "mountPath": "/models/models", "readOnly": True}
        assert mount in container(group)["volumeMounts"]
        claim = {"claimName": "models", "readOnly": True}
        assert {"name": "model", "persistentVolumeClaim": claim} in group["template"]["spec"]["volumes"]


@pytest.mark.parametrize("name", ["m", "n" * 40])
def test_a_revisions_name_fits(name: str) -> None:
    assert len(revision_name(name, spec(), APool().build())) == len(name) + 7 <= 47


@pytest.mark.parametrize(
    ("source", "claim", "local"),
    [
        ("hf://org/name", None, f"/cache/models/{Source(uri='hf://org/name').key}"),
        ("pvc://models", "models", "/models/models"),
        ("pvc://models/", "models", "/models/models"),
        ("pvc://models/a/b", "models", "/models/models/a/b"),
    ],
)
def test_sources(source: str, claim: str | None, local: str) -> None:
    model = spec(model={"source": source}).model
    assert (claim_of(source), local_source(model, APool().build())) == (claim, local)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (1, 1)),
        ({"replicas": 0}, (0, 1)),
        ({"replicas": 3}, (3, 3)),
        ({"scaling": {"minReplicas": 0, "maxReplicas": 4}}, (0, 4)),
        ({"scaling": {}}, (1, 1)),
    ],
)
def test_bounds(fields: Json, expected: tuple[int, int]) -> None:
    assert bounds(spec(**fields)) == expected


def test_what_a_worker_is_told() -> None:
    model = {"source": "pvc://models/q", "name": "qwen", "aliases": ["b", "a"]}
    found = worker_args("m", spec(model=model, engine={"args": {"maxNumSeqs": 4}}), APool().build())
    assert (found.model_id, found.aliases, found.source) == ("qwen", ("a", "b"), "/models/models/q")
    assert found.engine.extra.max_num_seqs == 4
    assert (found.accelerator, found.cpus, found.kv_cache_gib) == (None, 2.0, 1)
    on_gpu = worker_args("m", spec(), APool().gpu().build())
    assert (on_gpu.model_id, on_gpu.accelerator, on_gpu.kv_cache_gib) == ("m", "nvidia.com/gpu", None)


def test_what_a_running_worker_takes_over() -> None:
    scaling = {"minReplicas": 0, "maxReplicas": 3, "targetQueueDepth": 8, "upDelay": "5s", "idleAfter": "1h"}
    found = live_args(spec(scaling=scaling)).scaling
    assert (found.min_replicas, found.max_replicas, found.target_queue_depth) == (0, 3, 8)
    assert (found.up_delay_s, found.down_delay_s, found.idle_after_s) == (5, 120, 3600)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_everything_is_intact_as_it_is(value: Any) -> None:
    assert is_intact(value, value)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3), st.dictionaries(st.text(min_size=6), JSON, max_size=3))
def test_what_others_add_does_not_matter_and_what_is_missing_does(desired: Json, added: Json) -> None:
    assert is_intact(desired, desired | added)
    for key in desired:
        assert not is_intact(desired, {name: value for name, value in desired.items() if name != key})


@pytest.mark.parametrize(
    ("desired", "observed"),
    [({"a": 1}, {"a": 2}), ([1], [1, 2]), ([1, 2], [1]), ({"a": {}}, {"a": []}), ({"a": None}, {}), ("x", None)],
)
def test_what_is_not_intact(desired: Any, observed: Any) -> None:
    assert not is_intact(desired, observed)


def test_a_seal_tells_of_a_field_that_is_no_longer_wanted() -> None:
    before = sealed({"metadata": {"name": "x"}, "spec": {"a": 1, "b": 2}})
    after = sealed({"metadata": {"name": "x"}, "spec": {"a": 1}})
    assert is_intact(before, before)
    assert not is_intact(after, before)
