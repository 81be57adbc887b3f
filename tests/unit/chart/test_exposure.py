"""How requests come in: Services, Ingress, public URL, disruption budget, and the operator's idea of them."""

import pytest

from llmservice_api import names
from llmservice_gateway.settings import PREFIX, from_environment
from tests.unit.chart.rendering import NAMESPACE, Json, render


def ports(service: Json) -> dict[str, tuple[int, str]]:
    return {port["name"]: (port["port"], port["targetPort"]) for port in service["spec"]["ports"]}


def test_the_public_service_has_the_public_port_only() -> None:
    service = render().get("Service", names.GATEWAY_SERVICE)
    assert ports(service) == {"http": (80, "http")}
    (container,) = render().pods()["gateway"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": 8080,
        "proxy-metrics": 8404,
        "agent": 8405,
    }


def test_metrics_have_services_of_their_own() -> None:
    assert ports(render().get("Service", "gateway-metrics")) == {
        "proxy-metrics": (8404, "proxy-metrics"),
        "agent-metrics": (8405, "agent"),
    }
    assert ports(render().get("Service", "operator-metrics")) == {"metrics": (8080, "http")}


def test_the_ingress_takes_every_path_of_any_host_on_the_default_class() -> None:
    spec = render().get("Ingress", "gateway")["spec"]
    backend = {"service": {"name": "gateway", "port": {"name": "http"}}}
    assert spec == {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}


def test_the_ingress_can_have_class_host_tls_and_annotations() -> None:
    chart = render(
        "ingress.className=traefik",
        "ingress.host=llm.example.com",
        "ingress.tlsSecretName=tls",
        "ingress.annotations.a=b",
    )
    ingress = chart.get("Ingress", "gateway")
    assert ingress["metadata"]["annotations"] == {"a": "b"}
    assert ingress["spec"]["ingressClassName"] == "traefik"
    assert ingress["spec"]["tls"] == [{"secretName": "tls", "hosts": ["llm.example.com"]}]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["llm.example.com"]


def test_the_ingress_can_be_left_out() -> None:
    assert render("ingress.enabled=false").of_kind("Ingress") == []


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ((), ""),
        (("ingress.host=llm.example.com",), "http://llm.example.com"),
        (("ingress.host=llm.example.com", "ingress.tlsSecretName=tls"), "https://llm.example.com"),
        (("ingress.host=llm.example.com", "ingress.enabled=false"), ""),
        (("ingress.host=a.example.com", "gateway.publicURL=https://b.example.com/llm"), "https://b.example.com/llm"),
    ],
)
def test_the_public_url_is_the_given_one_or_that_of_the_ingress(settings: tuple[str, ...], url: str) -> None:
    assert render(*settings).environment("operator")["LLMSERVICE_PUBLIC_URL"] == url


@pytest.mark.parametrize(
    ("settings", "needed"),
    [((), True), (("ingress.className=nginx",), False), (("ingress.enabled=false",), False)],
)
def test_the_operator_knows_whether_a_default_class_is_needed(settings: tuple[str, ...], needed: bool) -> None:
    found = render(*settings).environment("operator").get("LLMSERVICE_GATEWAY_NEEDS_DEFAULT_CLASS")
    assert found == ("true" if needed else None)


def test_the_operator_probes_through_the_gateways_service() -> None:
    url = render().environment("operator")["LLMSERVICE_GATEWAY_URL"]
    assert url == f"http://{names.GATEWAY_SERVICE}.{NAMESPACE}.svc"


def test_the_gateway_understands_its_environment() -> None:
    environment = {
        name: value for name, value in render().environment("gateway").items() if name.startswith("LLMSERVICE_")
    }
    assert all(name.startswith(PREFIX) for name in environment)
    settings = from_environment(environment)
    pod = render().pods()["gateway"]
    assert pod["terminationGracePeriodSeconds"] > settings.drain_delay + settings.drain_timeout
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert str(settings.pepper_file) == f"{mounts['pepper']}/pepper"
    assert str(settings.run_directory) == mounts["run"]


def test_one_pod_has_no_disruption_budget_that_would_block_a_drain() -> None:
    assert render("gateway.replicas=1", "operator.replicas=1").of_kind("PodDisruptionBudget") == []


@pytest.mark.parametrize("name", ["gateway", "operator"])
def test_two_of_a_kind_are_never_evicted_at_once_and_stand_apart(name: str) -> None:
    chart = render("gateway.replicas=2", "operator.replicas=2")
    budget = chart.get("PodDisruptionBudget", name)["spec"]
    assert budget["maxUnavailable"] == 1
    (spread,) = chart.pods()[name]["topologySpreadConstraints"]
    assert (spread["labelSelector"], spread["whenUnsatisfiable"]) == (budget["selector"], "ScheduleAnyway")


def test_a_rollout_of_the_gateway_never_has_fewer_pods_than_wanted() -> None:
    assert render().get("Deployment", "gateway")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_there_is_an_operator_that_stands_by_also_while_versions_change() -> None:
    spec = render().get("Deployment", "operator")["spec"]
    assert spec["replicas"] == 2
    assert "strategy" not in spec  # the Lease keeps two versions from writing at once


def test_monitors_come_only_where_they_are_wanted_and_known() -> None:
    kind = ("monitoring.coreos.com/v1/ServiceMonitor",)
    assert render("monitoring.enabled=true").of_kind("ServiceMonitor") == []
    assert render(api_versions=kind).of_kind("ServiceMonitor") == []
    chart = render("monitoring.enabled=true", "monitoring.labels.release=prometheus", api_versions=kind)
    for monitor in chart.of_kind("ServiceMonitor"):
        name = monitor["metadata"]["name"]
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        known = ports(chart.get("Service", f"{name}-metrics"))
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == set(known)
