"""Values: a typo fails with its path, each value is in the schema, images by tag or digest."""

import json
from collections.abc import Iterator

import pytest
import yaml

from hack.cluster.failure import ClusterError
from tests.unit.chart.rendering import CHART, KUBERNETES, Json, render

SCHEMA: Json = json.loads((CHART / "values.schema.json").read_text())
VALUES: Json = yaml.safe_load((CHART / "values.yaml").read_text())
AS_KUBERNETES_HAS_IT = ("global", "namespaceSelector", "podSelector", "ipBlock", "valueFrom", "Affinity")
"""Parts that are passed on whole; the API server judges them."""


def objects(schema: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Each schema of an object, with its path."""
    if schema.get("type") == "object":
        yield path, schema
    for name, part in {**schema.get("properties", {}), **schema.get("definitions", {})}.items():
        yield from objects(part, f"{path}.{name}")
    if "items" in schema:
        yield from objects(schema["items"], f"{path}[]")


def resolved(schema: Json) -> Json:
    found: Json = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    return found


def leaves(value: object, schema: Json, path: str) -> Iterator[str]:
    """Paths in which values and schema name different keys."""
    known = resolved(schema)
    if not isinstance(value, dict) or "properties" not in known:
        return
    for name in set(value) ^ (set(known["properties"]) - {"global"}):
        yield f"{path}.{name}"
    for name, part in value.items():
        yield from leaves(part, known["properties"].get(name, {}), f"{path}.{name}")


def test_no_object_takes_unknown_keys() -> None:
    for path, schema in objects(SCHEMA, "values"):
        if not path.endswith(AS_KUBERNETES_HAS_IT):
            assert schema.get("additionalProperties") not in (None, True), path


def test_values_and_schema_name_the_same_keys() -> None:
    pass_through = ("resources", "affinity", "metricsFrom")
    assert [path for path in leaves(VALUES, SCHEMA, "values") if not any(name in path for name in pass_through)] == []


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("gatway.replicas=2", "gatway"),
        ("gateway.replica=2", "gateway"),
        ("gateway.replicas=0", "gateway/replicas"),
        ("gcsFaultTolerance.redisAddress=redis", "gcsFaultTolerance/redisAddress"),
        ("gateway.replicas=two", "gateway/replicas"),
        ("gateway.publicURL=llm.example.com", "gateway/publicURL"),
        ("gateway.publicURL=https://llm.example.com/", "gateway/publicURL"),
        ("placement.hubURL=huggingface.co", "placement/hubURL"),
        ("operator.replicas=0", "operator/replicas"),
        ("gateway.image.digest=latest", "gateway/image/digest"),
        ("gateway.resources.request.cpu=1", "gateway/resources"),
        ("ingress.host=https://llm.example.com", "ingress/host"),
        ("ingress.host=*", "ingress/host"),
        ("watchNamespaces=a", "watchNamespaces"),
        ("watchNamespaces={a,a}", "watchNamespaces"),
        ("watchNamespaces={A}", "watchNamespaces/0"),
        ("test.llmservice=smollm2", "test/llmservice"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(setting: str, path: str) -> None:
    with pytest.raises(ClusterError, match=path):
        render(setting)


def test_an_image_is_named_by_tag_or_by_digest() -> None:
    digest = "sha256:" + "0" * 64
    (default,) = render().pods()["gateway"]["containers"]
    (pinned,) = render(f"gateway.image.digest={digest}", "gateway.image.tag=x").pods()["gateway"]["containers"]
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert default["image"] == f"docker.io/llmservice/gateway:{version}"
    assert pinned["image"] == f"docker.io/llmservice/gateway@{digest}"


def test_scheduling_reaches_the_pods() -> None:
    pod = render(
        "operator.nodeSelector.pool=system",
        "operator.tolerations[0].key=system",
        "operator.priorityClassName=system-cluster-critical",
        "imagePullSecrets[0].name=registry",
        "operator.extraEnv[0].name=LLMSERVICE_WORKERS",
        "operator.extraEnv[0].value=x",
    ).pods()["operator"]
    assert pod["nodeSelector"] == {"pool": "system"}
    assert pod["tolerations"] == [{"key": "system"}]
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert {"name": "LLMSERVICE_WORKERS", "value": "x"} in pod["containers"][0]["env"]


def test_the_chart_says_which_kubernetes_it_needs() -> None:
    assert KUBERNETES.startswith("--kube-version=1.3")


def test_the_operator_asks_the_hub_that_is_named_and_none_where_none_is() -> None:
    assert render().environment("operator")["LLMSERVICE_HUB_URL"] == "https://huggingface.co"
    assert "LLMSERVICE_HUB_URL" not in render("placement.hubURL=").environment("operator")
