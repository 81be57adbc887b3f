"""What the operator is told by its environment; each bad value is one clear line."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llmservice_operator.observed import Install, RedisStore


class SettingsError(Exception):
    """A variable is missing or wrong; the message names it and says what it should be."""


@dataclass(frozen=True)
class Settings:
    """`namespaces` empty: all. `pepper_file` holds base64 text (docs/decisions/0001).

    `pools_file`: where GPUPools stand in place of the cluster (docs/decisions/0132); given where `namespaces` are.

    `lease_seconds`: how long another operator waits for a leader that is silent. `hub_url`: where models may be asked
    for what their memory depends on; None: nowhere.
    """

    install: Install
    pepper_file: Path
    namespaces: tuple[str, ...]
    workers: int
    relist_seconds: float
    port: int
    lease_seconds: float = 15
    hub_url: str | None = None
    pools_file: Path | None = None


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Settings from LLMSERVICE_… variables."""
    namespace = _required(environment, "LLMSERVICE_NAMESPACE", "the namespace that the operator runs in")
    gateway = environment.get("LLMSERVICE_GATEWAY_URL") or f"http://gateway.{namespace}.svc"
    namespaces = _namespaces(environment.get("LLMSERVICE_WATCH_NAMESPACES", ""), namespace)
    return Settings(
        install=Install(
            namespace=namespace,
            gateway_url=gateway.rstrip("/"),
            public_url=(environment.get("LLMSERVICE_PUBLIC_URL") or gateway).rstrip("/"),
            gateway_needs_default_class=environment.get("LLMSERVICE_GATEWAY_NEEDS_DEFAULT_CLASS") == "true",
            kuberay_namespace=environment.get("LLMSERVICE_KUBERAY_NAMESPACE") or "kuberay-system",
            gcs_store=_gcs_store(environment),
            tracing_endpoint=_url(environment, "LLMSERVICE_TRACING_ENDPOINT"),
            ledger_url=_url(environment, "LLMSERVICE_LEDGER_URL"),
            monitoring_namespace=environment.get("LLMSERVICE_MONITORING_NAMESPACE") or None,
            sees_cluster=not namespaces,
        ),
        pepper_file=Path(
            _required(environment, "LLMSERVICE_PEPPER_FILE", "the mounted file of Secret llmservice-pepper")
        ),
        namespaces=namespaces,
        workers=_count(environment, "LLMSERVICE_WORKERS", "16"),
        relist_seconds=_number(environment, "LLMSERVICE_RELIST_SECONDS", "300"),
        port=_count(environment, "LLMSERVICE_PORT", "8080"),
        hub_url=_url(environment, "LLMSERVICE_HUB_URL"),
        lease_seconds=_count(environment, "LLMSERVICE_LEASE_SECONDS", "15"),
        pools_file=_pools_file(environment) if namespaces else None,
    )


def _gcs_store(environment: Mapping[str, str]) -> RedisStore | None:
    """Where Ray keeps its clusters' state; None: in their heads."""
    address = environment.get("LLMSERVICE_GCS_REDIS_ADDRESS")
    if not address:
        return None
    key = environment.get("LLMSERVICE_GCS_REDIS_SECRET_KEY") or "password"
    return RedisStore(address, environment.get("LLMSERVICE_GCS_REDIS_SECRET") or None, key)


def _namespaces(text: str, own: str) -> tuple[str, ...]:
    """The namespaces named, with the operator's own, where the Ingresses are; none named: all."""
    named = {name.strip() for name in text.split(",") if name.strip()}
    return tuple(sorted(named | {own})) if named else ()


def _pools_file(environment: Mapping[str, str]) -> Path:
    meaning = "a file with the GPUPools (`kubectl get gpupools -o json`), as LLMSERVICE_WATCH_NAMESPACES is set"
    return Path(_required(environment, "LLMSERVICE_POOLS_FILE", meaning))


def _url(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name)
    if not text:
        return None
    if not text.startswith(("http://", "https://")):
        raise SettingsError(f"{name} is {text!r}: set it to a base URL such as http://otel-collector.monitoring:4318")
    return text.rstrip("/")


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name)
    if not value:
        raise SettingsError(f"{name} is not set: set it to {meaning}")
    return value


def _number(environment: Mapping[str, str], name: str, default: str) -> float:
    text = environment.get(name) or default
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < math.inf:
        raise SettingsError(f"{name} is {text!r}: set it to a number above zero")
    return value


def _count(environment: Mapping[str, str], name: str, default: str) -> int:
    value = _number(environment, name, default)
    if value != int(value):
        raise SettingsError(f"{name} is {value}: set it to a whole number")
    return int(value)
