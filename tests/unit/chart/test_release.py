"""What a release leaves and keeps: CRDs, pepper, labels; and the manifest for those without Helm."""

import base64

import pytest
import yaml

from hack.render import INSTALL
from llmservice_api.crd import KINDS, custom_resource_definition
from tests.unit.chart.rendering import CHART, NAMESPACE, Json, render

SIX = {f"app.kubernetes.io/{part}" for part in ("name", "instance", "version", "component", "part-of", "managed-by")}


def test_the_crds_are_those_of_the_models_and_are_kept() -> None:
    found = {crd["metadata"]["name"]: crd for crd in render().of_kind("CustomResourceDefinition")}
    assert list(found.values()) == [custom_resource_definition(kind) for kind in sorted(KINDS, key=lambda k: k.plural)]
    assert all(crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for crd in found.values())


def test_the_crds_can_be_left_to_somebody_else() -> None:
    assert render("crds.install=false").of_kind("CustomResourceDefinition") == []


def test_the_pepper_is_32_bytes_that_outlive_the_release_and_cannot_be_replaced() -> None:
    secret = render().get("Secret", "llmservice-pepper")
    text = base64.b64decode(secret["data"]["pepper"])
    assert len(base64.b64decode(text, validate=True)) == 32
    assert secret["immutable"] is True
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_pepper_can_be_made_by_somebody_else() -> None:
    assert render("pepper.create=false").of_kind("Secret") == []


def test_each_object_bears_the_six_labels() -> None:
    for obj in render("gateway.replicas=2").objects:
        if obj["kind"] != "CustomResourceDefinition":
            assert obj["metadata"]["labels"].keys() >= SIX, obj["metadata"]["name"]


@pytest.mark.parametrize(
    "kind", ["Deployment", "Service", "Ingress", "Secret", "ServiceAccount", "NetworkPolicy", "Pod"]
)
def test_namespaced_objects_name_the_releases_namespace(kind: str) -> None:
    found = render().of_kind(kind)
    assert found
    for obj in found:
        assert obj["metadata"]["namespace"] == NAMESPACE


def test_selectors_hold_nothing_that_an_upgrade_changes() -> None:
    for deployment in render().of_kind("Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert set(selector) == {f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")}


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parent.parent / "pyproject.toml").read_text()
    assert chart["version"] == chart["appVersion"]
    assert f'version = "{chart["version"]}"' in project


def test_the_plain_manifest_has_all_but_the_pepper_and_the_test() -> None:
    objects: list[Json] = list(yaml.load_all(INSTALL.read_text(), yaml.CSafeLoader))
    kinds = [obj["kind"] for obj in objects]
    assert kinds[0] == "Namespace"
    assert objects[0]["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert sorted(kinds[1:]) == sorted(obj["kind"] for obj in render().objects if obj["kind"] not in ("Secret", "Pod"))
