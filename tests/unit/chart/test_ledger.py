"""The ledger's part of the chart: where it keeps what was used, who may reach it, who is told where it is."""

from itertools import product
from pathlib import Path

from llmservice_api.names import LEDGER_AUDIENCE
from llmservice_gateway import settings as gateway_settings
from llmservice_gateway.ledger import settings
from llmservice_gateway.ledger.registry import KINDS
from tests.unit.chart.rendering import NAMESPACE, Json, Rendered, namespaced, render
from tests.unit.chart.test_rbac import grants

URL = f"http://ledger.{NAMESPACE}.svc:8410"


def volumes(chart: Rendered) -> dict[str, Json]:
    return {each["name"]: each for each in chart.pods()["ledger"]["volumes"]}


def container(chart: Rendered, pod: str) -> Json:
    (found,) = chart.pods()[pod]["containers"]
    return dict(found)


def test_sqlite_lies_on_a_claim_that_outlives_the_release() -> None:
    chart = render("ledger.storage.size=20Gi", "ledger.storage.className=fast")
    claim = chart.get("PersistentVolumeClaim", "ledger", NAMESPACE)
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert volumes(chart)["data"]["persistentVolumeClaim"]["claimName"] == "ledger"
    mounts = {each["name"]: each["mountPath"] for each in container(chart, "ledger")["volumeMounts"]}
    assert settings.Settings().database.is_relative_to(mounts["data"])
    assert "storageClassName" not in render().get("PersistentVolumeClaim", "ledger")["spec"]


def test_an_emptydir_is_used_only_where_it_is_asked_for() -> None:
    chart = render("ledger.storage.ephemeral=true")
    assert chart.of_kind("PersistentVolumeClaim") == []
    assert volumes(chart)["data"]["emptyDir"] == {"sizeLimit": "10Gi"}


def test_with_postgresql_there_is_no_volume_and_the_dsn_is_a_file() -> None:
    chart = render("ledger.postgresql.dsnSecret.name=database", "ledger.postgresql.dsnSecret.key=url")
    assert chart.of_kind("PersistentVolumeClaim") == []
    assert "data" not in volumes(chart)
    secret = volumes(chart)["postgresql"]["secret"]
    assert (secret["secretName"], secret["items"]) == ("database", [{"key": "url", "path": "dsn"}])
    (mount,) = [each for each in container(chart, "ledger")["volumeMounts"] if each["name"] == "postgresql"]
    assert chart.environment("ledger")["LLMSERVICE_LEDGER_DSN_FILE"] == f"{mount['mountPath']}/dsn"


def test_its_settings_are_those_of_the_values() -> None:
    chart = render("ledger.currency=eur", "ledger.retentionDays=30")
    found = settings.from_environment(chart.environment("ledger"))
    assert (found.currency, found.retention_days, found.dsn_file) == ("eur", 30, "")
    for service, name, number in (("ledger", "http", found.port), ("ledger-metrics", "metrics", found.health_port)):
        assert chart.get("Service", service)["spec"]["ports"] == [{"name": name, "port": number, "targetPort": name}]
        assert {"name": name, "containerPort": number} in container(chart, "ledger")["ports"]
    assert chart.get("ServiceAccount", found.gateway_account)


def test_operator_and_gateway_are_told_where_it_is() -> None:
    chart = render()
    assert chart.environment("operator")["LLMSERVICE_LEDGER_URL"] == URL
    found = gateway_settings.from_environment(chart.environment("gateway"))
    assert found.ledger_url == URL
    (volume,) = [each for each in chart.pods()["gateway"]["volumes"] if each["name"] == "ledger-token"]
    token = volume["projected"]["sources"][0]["serviceAccountToken"]
    (mount,) = [each for each in container(chart, "gateway")["volumeMounts"] if each["name"] == "ledger-token"]
    assert token["audience"] == LEDGER_AUDIENCE
    assert Path(mount["mountPath"], token["path"]) == found.ledger_token


def test_without_it_nobody_knows_of_it() -> None:
    chart = render("ledger.enabled=false")
    assert [obj for obj in chart.objects if obj["metadata"]["name"] == "ledger"] == []
    assert chart.of_kind("PersistentVolumeClaim") == []
    assert not any("LEDGER" in name for part in ("operator", "gateway") for name in chart.environment(part))
    assert "ledger-token" not in {each["name"] for each in chart.pods()["gateway"]["volumes"]}


def test_there_is_one_at_a_time() -> None:
    spec = render().get("Deployment", "ledger")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_it_runs_in_the_gateways_image() -> None:
    chart = render("gateway.image.tag=abc")
    assert container(chart, "ledger")["image"] == container(chart, "gateway")["image"]


def test_it_may_do_what_it_does_and_nothing_else() -> None:
    needed = {*product(("get", "list", "watch"), KINDS), ("patch", "budgets/status"), ("create", "events")}
    assert grants(render(), "ledger", "ClusterRole") == needed | {("create", "tokenreviews")}
    for namespace in ("a", NAMESPACE):
        assert grants(namespaced("a"), "ledger", "Role", namespace) == needed


def test_in_namespaced_mode_it_knows_where_to_look() -> None:
    found = settings.from_environment(namespaced("a", "b").environment("ledger"))
    assert found.watch_namespaces == ("a", "b", NAMESPACE)


def test_gateways_and_workers_reach_it() -> None:
    reaching, metrics = render().get("NetworkPolicy", "ledger")["spec"]["ingress"]
    gateways, workers = reaching["from"]
    assert gateways["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert workers["namespaceSelector"] == {}
    assert workers["podSelector"]["matchLabels"]["ray.io/node-type"] == "worker"
    assert (reaching["ports"], metrics["ports"]) == ([{"port": 8410}], [{"port": 8411}])
    assert len(render("networkPolicy.metricsFrom=null").get("NetworkPolicy", "ledger")["spec"]["ingress"]) == 1
