"""Every pod of the chart meets Pod Security "restricted", with a read-only root; only the inner ports are closed in."""

import pytest

from tests.unit.chart.rendering import NAMESPACE, Json, render

PODS = ["gateway", "ledger", "operator", "llmservice-completion"]


@pytest.fixture(params=PODS)
def pod(request: pytest.FixtureRequest) -> Json:
    spec: Json = render().pods()[request.param]
    return spec


def test_the_chart_has_no_other_pods() -> None:
    assert sorted(render().pods()) == sorted(PODS)


def test_pods_run_as_our_user_under_the_runtimes_seccomp_profile(pod: Json) -> None:
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_containers_cannot_gain_privileges_nor_write_their_root(pod: Json) -> None:
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_containers_name_what_they_need_and_cannot_take_all_memory(pod: Json) -> None:
    for container in pod["containers"]:
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_no_variable_comes_from_a_service(pod: Json) -> None:
    assert pod["enableServiceLinks"] is False


LEDGER_TOKEN = {"audience": "llmservice-ledger", "expirationSeconds": 3600, "path": "token"}
VOLUMES: tuple[Json, ...] = (
    {"emptyDir": {}},
    {"secret": {"secretName": "llmservice-pepper", "defaultMode": 0o440}},
    {"projected": {"sources": [{"serviceAccountToken": LEDGER_TOKEN}]}},
    {"persistentVolumeClaim": {"claimName": "ledger"}},
)


def test_volumes_are_empty_or_the_pepper_readable_by_its_group_or_the_ledgers(pod: Json) -> None:
    for volume in pod["volumes"]:
        assert {name: what for name, what in volume.items() if name != "name"} in VOLUMES


def test_only_the_public_port_is_open_to_everybody() -> None:
    gateway = render().get("NetworkPolicy", "gateway")["spec"]
    assert gateway["policyTypes"] == ["Ingress"]
    public, metrics = gateway["ingress"]
    assert public == {"ports": [{"port": 8080}]}
    assert metrics == {"from": [{"namespaceSelector": {}}], "ports": [{"port": 8404}, {"port": 8405}]}


def test_the_operator_lets_metrics_in_and_nothing_else() -> None:
    (metrics,) = render().get("NetworkPolicy", "operator")["spec"]["ingress"]
    assert metrics["ports"] == [{"port": 8080}]


def test_who_reads_metrics_can_be_narrowed_down_to_nobody() -> None:
    narrowed = render("networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus")
    (metrics,) = narrowed.get("NetworkPolicy", "operator")["spec"]["ingress"]
    assert metrics["from"] == [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]
    assert "ingress" not in render("networkPolicy.metricsFrom=null").get("NetworkPolicy", "operator")["spec"]


def test_network_policies_select_the_pods_that_the_deployments_make() -> None:
    chart = render()
    for name in ("gateway", "ledger", "operator"):
        labels = chart.get("Deployment", name, NAMESPACE)["spec"]["template"]["metadata"]["labels"]
        wanted = chart.get("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"]
        assert wanted.items() <= labels.items()


def test_network_policies_can_be_left_out() -> None:
    assert render("networkPolicy.enabled=false").of_kind("NetworkPolicy") == []
