"""What the operator is told by its environment."""

from pathlib import Path

import pytest

from llmservice_operator.observed import RedisStore
from llmservice_operator.settings import SettingsError, from_environment

LEAST = {"LLMSERVICE_NAMESPACE": "llmservice-system", "LLMSERVICE_PEPPER_FILE": "/var/run/pepper/pepper"}


def test_the_least_that_must_be_set() -> None:
    found = from_environment(LEAST)
    assert found.install.namespace == "llmservice-system"
    assert found.install.gateway_url == found.install.public_url == "http://gateway.llmservice-system.svc"
    assert not found.install.gateway_needs_default_class
    assert found.pepper_file == Path("/var/run/pepper/pepper")
    assert (found.namespaces, found.workers, found.relist_seconds, found.port) == ((), 16, 300.0, 8080)


def test_all_of_it() -> None:
    found = from_environment(
        LEAST
        | {
            "LLMSERVICE_GATEWAY_URL": "http://gw/",
            "LLMSERVICE_PUBLIC_URL": "https://llm.example.com/",
            "LLMSERVICE_GATEWAY_NEEDS_DEFAULT_CLASS": "true",
            "LLMSERVICE_WORKERS": "4",
            "LLMSERVICE_RELIST_SECONDS": "2.5",
            "LLMSERVICE_PORT": "9000",
        }
    )
    assert (found.install.gateway_url, found.install.public_url) == ("http://gw", "https://llm.example.com")
    assert found.install.gateway_needs_default_class
    assert (found.workers, found.relist_seconds, found.port) == (4, 2.5, 9000)


@pytest.mark.parametrize(
    ("text", "namespaces"),
    [("", ()), (" , ", ()), ("b, a,a", ("a", "b", "llmservice-system")), ("llmservice-system", ("llmservice-system",))],
)
def test_namespaces_have_the_operators_own_among_them(text: str, namespaces: tuple[str, ...]) -> None:
    environment = {"LLMSERVICE_WATCH_NAMESPACES": text, "LLMSERVICE_POOLS_FILE": "/pools.json"}
    found = from_environment(LEAST | environment)
    assert found.namespaces == namespaces
    assert found.install.sees_cluster is not bool(namespaces)
    assert found.pools_file == (Path("/pools.json") if namespaces else None)


def test_named_namespaces_need_pools() -> None:
    with pytest.raises(SettingsError, match="LLMSERVICE_POOLS_FILE is not set: set it to a file with the GPUPools"):
        from_environment(LEAST | {"LLMSERVICE_WATCH_NAMESPACES": "a"})


@pytest.mark.parametrize("name", LEAST)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(name: str, value: str | None) -> None:
    environment = {key: text for key, text in LEAST.items() if key != name} | ({name: value} if value == "" else {})
    with pytest.raises(SettingsError, match=f"{name} is not set: set it to "):
        from_environment(environment)


@pytest.mark.parametrize("name", ["LLMSERVICE_WORKERS", "LLMSERVICE_RELIST_SECONDS", "LLMSERVICE_PORT"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "nan"])
def test_a_bad_number_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '{value}': set it to a number above zero"):
        from_environment(LEAST | {name: value})


@pytest.mark.parametrize(("text", "endpoint"), [("", None), ("http://otel:4318/", "http://otel:4318")])
def test_where_traces_go(text: str, endpoint: str | None) -> None:
    assert from_environment(LEAST | {"LLMSERVICE_TRACING_ENDPOINT": text}).install.tracing_endpoint == endpoint


def test_traces_go_to_a_url() -> None:
    with pytest.raises(SettingsError, match="LLMSERVICE_TRACING_ENDPOINT is 'otel:4317': set it to a base URL"):
        from_environment(LEAST | {"LLMSERVICE_TRACING_ENDPOINT": "otel:4317"})


@pytest.mark.parametrize(("text", "namespace"), [("", None), ("monitoring", "monitoring")])
def test_who_scrapes(text: str, namespace: str | None) -> None:
    assert from_environment(LEAST | {"LLMSERVICE_MONITORING_NAMESPACE": text}).install.monitoring_namespace == namespace


@pytest.mark.parametrize("name", ["LLMSERVICE_WORKERS", "LLMSERVICE_PORT"])
def test_a_count_is_at_least_one(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        from_environment(LEAST | {name: "0.5"})


@pytest.mark.parametrize(
    ("more", "store"),
    [
        ({}, None),
        ({"ADDRESS": ""}, None),
        ({"ADDRESS": "redis:6379"}, RedisStore("redis:6379")),
        ({"ADDRESS": "redis:6379", "SECRET": "r", "SECRET_KEY": "p"}, RedisStore("redis:6379", "r", "p")),
    ],
)
def test_where_ray_keeps_its_clusters_state(more: dict[str, str], store: RedisStore | None) -> None:
    variables = {f"LLMSERVICE_GCS_REDIS_{name}": value for name, value in more.items()}
    assert from_environment(LEAST | variables).install.gcs_store == store


def test_models_are_asked_for_where_the_installation_says() -> None:
    assert from_environment(LEAST).hub_url is None
    assert (
        from_environment(LEAST | {"LLMSERVICE_HUB_URL": "https://hub.example.com/"}).hub_url
        == "https://hub.example.com"
    )


def test_a_silent_leader_is_waited_for_fifteen_seconds() -> None:
    assert from_environment(LEAST).lease_seconds == 15
    assert from_environment(LEAST | {"LLMSERVICE_LEASE_SECONDS": "6"}).lease_seconds == 6
