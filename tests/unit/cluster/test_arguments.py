"""What the control plane is started with."""

from pathlib import Path

import pytest

from hack.cluster import arguments
from hack.cluster.settings import Layout, Settings

LAYOUT = Layout(Path("/state"))


def test_apiserver_guards_with_rbac_the_node_authorizer_and_certificates() -> None:
    words = arguments.apiserver(LAYOUT, 6443, 2379, Settings())
    assert "--authorization-mode=Node,RBAC" in words
    assert "--anonymous-auth=false" in words
    assert "--client-ca-file=/state/pki/ca.crt" in words
    assert not any("disable-admission-plugins" in word for word in words)  # Pod Security is a default plugin


@pytest.mark.parametrize(
    ("settings", "word", "there"),
    [
        (Settings(), "--endpoint-reconciler-type=none", True),
        (Settings(advertise="10.0.0.7"), "--endpoint-reconciler-type=none", False),
        (Settings(bind="0.0.0.0"), "--bind-address=0.0.0.0", True),
        (Settings(), "--audit-log-path=/state/logs/audit.jsonl", False),
        (Settings(audit=True), "--audit-log-path=/state/logs/audit.jsonl", True),
        (Settings(audit=True), "--audit-policy-file=/state/audit-policy.json", True),
    ],
)
def test_settings_become_words_of_the_apiserver(settings: Settings, word: str, there: bool) -> None:
    assert (word in arguments.apiserver(LAYOUT, 6443, 2379, settings)) is there


@pytest.mark.parametrize(("durable", "there"), [(True, False), (False, True)])
def test_etcd_skips_the_disk_only_where_its_data_need_not_last(durable: bool, there: bool) -> None:
    words = arguments.etcd(LAYOUT, 2379, Settings(durable=durable))
    assert ("--unsafe-no-fsync" in words) is there
    assert "--client-cert-auth" in words


def test_controllers_listen_on_no_port() -> None:
    for words in (arguments.controller_manager(LAYOUT), arguments.scheduler(LAYOUT)):
        assert "--secure-port=0" in words
        assert "--leader-elect=false" in words


def test_kwok_plays_only_annotated_nodes() -> None:
    assert "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake" in arguments.kwok(LAYOUT)


def test_the_audit_policy_records_writes_whole_and_secrets_by_name_only() -> None:
    rules = arguments.audit_policy()["rules"]
    assert isinstance(rules, list)
    secrets = next(rule for rule in rules if {"group": "", "resources": ["secrets", "configmaps"]} in rule["resources"])
    assert secrets["level"] == "Metadata"
    assert rules.index(secrets) < next(at for at, rule in enumerate(rules) if rule["level"] == "Request")
