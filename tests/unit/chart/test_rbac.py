"""Who may do what: nothing that the operator or the gateway does not use, and less in namespaced mode."""

from itertools import product

import pytest

from llmservice_api.names import OPERATOR_LEASE
from llmservice_operator.handlers import WATCHED
from tests.unit.chart.rendering import NAMESPACE, Json, Rendered, render

CLUSTER_SCOPED = {"gpupools", "gpupools/status", "nodes", "ingressclasses", "customresourcedefinitions", "namespaces"}
WRITING = {"create", "patch", "update", "delete", "deletecollection"}
CHILDREN = ("rayservices", "services", "networkpolicies", "poddisruptionbudgets")


def grants(chart: Rendered, account: str, kind: str, namespace: str | None = None) -> set[tuple[str, str]]:
    """(verb, resource) that an account has by roles of a kind, in a namespace."""
    found: set[tuple[str, str]] = set()
    for binding in chart.of_kind(f"{kind}Binding"):
        subjects = [subject["name"] for subject in binding["subjects"]]
        if account in subjects and binding["metadata"].get("namespace") == namespace:
            role = chart.get(kind, binding["roleRef"]["name"], namespace)
            for rule in role["rules"]:
                found |= set(product(rule["verbs"], rule["resources"]))
    return found


def rules(chart: Rendered) -> list[Json]:
    return [rule for role in chart.of_kind("ClusterRole", "Role") for rule in role["rules"]]


def test_no_wildcards() -> None:
    for rule in rules(render()) + rules(render("watchNamespaces={a}")):
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]


def test_the_operator_watches_what_its_handlers_name() -> None:
    granted = grants(render(), "operator", "ClusterRole")
    assert {(verb, plural) for verb in ("list", "watch") for plural in WATCHED} <= granted


def test_the_operator_writes_children_status_and_events_and_nothing_else() -> None:
    written = {grant for grant in grants(render(), "operator", "ClusterRole") if grant[0] in WRITING}
    assert written == {
        *product(("create", "patch", "delete"), CHILDREN),
        *product(("patch",), ("llmservices/status", "apikeys/status", "gpupools/status")),
        *product(("update",), ("llmservices/finalizers", "apikeys/finalizers")),
        *product(("create", "patch"), ("secrets", "events")),
    }


@pytest.mark.parametrize("verb", ["get", "list", "watch", "delete"])
@pytest.mark.parametrize("account", ["operator", "gateway"])
def test_nobody_reads_secrets(verb: str, account: str) -> None:
    for chart in (render(), render("watchNamespaces={a}")):
        for namespace in (NAMESPACE, "a"):
            assert (verb, "secrets") not in grants(chart, account, "Role", namespace)
        assert (verb, "secrets") not in grants(chart, account, "ClusterRole")


def test_ingresses_and_leases_are_written_in_the_releases_namespace_only() -> None:
    own = grants(render(), "operator", "Role", NAMESPACE)
    assert {resource for _, resource in own} == {"ingresses", "leases"}


def test_the_operator_has_its_own_lease_only_where_that_can_be_said() -> None:
    role = render().get("Role", "operator-own", NAMESPACE)
    of_leases = [(rule["verbs"], rule.get("resourceNames")) for rule in role["rules"] if "leases" in rule["resources"]]
    assert of_leases == [(["get", "update"], [OPERATOR_LEASE]), (["create"], None)]


def test_the_gateway_reads_two_kinds_and_says_that_a_service_is_to_wake() -> None:
    for chart in (render(), render("watchNamespaces={a}")):
        expected = set(product(("get", "list", "watch"), ("llmservices", "apikeys"))) | {
            ("patch", "llmservices/status")
        }
        assert grants(chart, "gateway", "ClusterRole") == expected
        assert grants(chart, "gateway", "Role", NAMESPACE) == set()


def test_namespaced_mode_leaves_only_cluster_scoped_kinds_in_the_operators_cluster_role() -> None:
    granted = grants(render("watchNamespaces={a,b}"), "operator", "ClusterRole")
    assert {resource for _, resource in granted} <= CLUSTER_SCOPED
    assert {grant for grant in granted if grant[0] in WRITING} == {("patch", "gpupools/status")}


def test_namespaced_mode_grants_in_each_namespace_what_the_cluster_role_grants_in_all() -> None:
    everywhere = {
        (verb, resource)
        for verb, resource in grants(render(), "operator", "ClusterRole")
        if resource not in CLUSTER_SCOPED
    }
    chart = render("watchNamespaces={a,b}")
    for namespace in ("a", "b", NAMESPACE):
        assert everywhere <= grants(chart, "operator", "Role", namespace)
    assert chart.environment("operator")["LLMSERVICE_WATCH_NAMESPACES"] == "a,b"


def test_the_releases_own_namespace_may_be_listed_too() -> None:
    chart = render(f"watchNamespaces={{{NAMESPACE}}}")
    names = [(role["metadata"]["namespace"], role["metadata"]["name"]) for role in chart.of_kind("Role")]
    assert len(names) == len(set(names))
