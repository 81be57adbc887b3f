"""Who may do what: nothing that the operator or the gateway does not use, and less in namespaced mode."""

from itertools import product

import pytest

from llmservice_api.names import OPERATOR_LEASE
from llmservice_operator.handlers import WATCHED, watched
from tests.unit.chart.rendering import NAMESPACE, Json, Rendered, namespaced, render

CLUSTER_SCOPED = {"gpupools", "gpupools/status", "nodes", "ingressclasses", "customresourcedefinitions", "tokenreviews"}
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
    for rule in rules(render()) + rules(namespaced("a")):
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
@pytest.mark.parametrize("account", ["operator", "gateway", "ledger"])
def test_nobody_reads_secrets(verb: str, account: str) -> None:
    for chart in (render(), namespaced("a")):
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


def test_nobody_enters_pods_or_grants_rights() -> None:
    for rule in rules(render()) + rules(namespaced("a", "b")):
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"]
        assert not {"pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token"} & set(rule["resources"])
        assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])


def test_the_gateway_reads_two_kinds_and_says_that_a_service_is_to_wake() -> None:
    expected = set(product(("get", "list", "watch"), ("llmservices", "apikeys"))) | {("patch", "llmservices/status")}
    assert grants(render(), "gateway", "ClusterRole") == expected
    for namespace in ("a", NAMESPACE):
        assert grants(render(), "gateway", "Role", namespace) == set()
        assert grants(namespaced("a"), "gateway", "Role", namespace) == expected


def test_namespaced_mode_has_nothing_that_is_cluster_scoped() -> None:
    chart = namespaced("a", "b")
    assert {obj["metadata"].get("namespace") for obj in chart.objects} == {"a", "b", NAMESPACE}
    elsewhere = {obj["kind"] for obj in chart.objects if obj["metadata"]["namespace"] != NAMESPACE}
    assert elsewhere == {"Role", "RoleBinding"}
    assert not {resource for rule in rules(chart) for resource in rule["resources"]} & CLUSTER_SCOPED


@pytest.mark.parametrize("account", ["operator", "gateway", "ledger"])
def test_namespaced_mode_grants_in_each_namespace_what_the_cluster_role_grants_in_all(account: str) -> None:
    everywhere = grants(render(), account, "ClusterRole")
    chart = namespaced("a", "b")
    for namespace in ("a", "b"):
        granted = grants(chart, account, "Role", namespace)
        assert granted == {(verb, resource) for verb, resource in everywhere if resource not in CLUSTER_SCOPED}
        assert granted <= grants(chart, account, "Role", NAMESPACE)
    assert grants(chart, "operator", "Role", NAMESPACE) >= grants(render(), "operator", "Role", NAMESPACE)


def test_in_namespaced_mode_the_operator_watches_what_its_roles_let_it() -> None:
    chart = namespaced("a")
    for namespace in ("a", NAMESPACE):
        granted = grants(chart, "operator", "Role", namespace)
        assert {(verb, plural) for verb in ("list", "watch") for plural in watched(["a"])} <= granted


def test_the_releases_own_namespace_may_be_listed_too() -> None:
    chart = namespaced(NAMESPACE)
    names = [(role["metadata"]["namespace"], role["metadata"]["name"]) for role in chart.of_kind("Role")]
    assert len(names) == len(set(names))
