"""What a deployment can set, read from LLMSERVICE_GATEWAY_* once at start."""

import dataclasses
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from llmservice_gateway.bodies import SHARES

PREFIX: Final = "LLMSERVICE_GATEWAY_"
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_URLS: Final = {
    "tracing_endpoint": "an OTLP/HTTP receiver (http://…:4318)",
    "ledger_url": "the ledger (http://ledger.…)",
}


class SettingsError(Exception):
    """A variable that cannot be used; the message names it and says what is expected."""


def number(default: int, low: int, high: int) -> Any:
    """A field that takes a whole number from `low` to `high`."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """Settings of one gateway pod; LLMSERVICE_GATEWAY_<FIELD NAME IN CAPITALS> sets a field.

    Sizes are bytes, times are whole seconds. `watch_namespaces` empty: all.
    """

    address: str = "0.0.0.0"
    public_port: int = number(8080, 1, 65535)
    metrics_port: int = number(8404, 1, 65535)
    agent_port: int = number(8405, 1, 65535)
    inner_port: int = number(8406, 1, 65535)
    threads: int = number(2, 1, 64)
    max_connections: int = number(2000, 10, 1_000_000)
    buffer_size: int = number(81920, 49152, 1048576)
    large_body: int = number(8 * 1024 * 1024, 65536, 1024**3)
    header_timeout: int = number(10, 1, 600)
    body_timeout: int = number(30, 1, 600)
    client_timeout: int = number(150, 1, 3600)
    connect_timeout: int = number(3, 1, 60)
    server_timeout: int = number(600, 1, 86400)
    drain_delay: int = number(5, 0, 600)
    drain_timeout: int = number(600, 1, 86400)
    relist_interval: int = number(300, 10, 86400)
    resync_interval: int = number(60, 1, 86400)
    run_directory: Path = Path("/run/haproxy")
    pepper_file: Path = Path("/etc/llmservice/pepper/pepper")
    haproxy: str = "haproxy"
    body_memory: int = number(64 * 1024 * 1024, 65536, 2**40)
    body_rate: int = number(32 * 1024 * 1024, 65536, 2**40)
    upload_timeout: int = number(120, 1, 3600)
    waiting_interval: int = number(10, 1, 600)
    longest_hold: int = number(3600, 1, 86400)
    agent_niceness: int = number(5, 0, 19)
    limited_keys: int = number(100_000, 1000, 10_000_000)
    namespace: str = "llmservice-system"
    watch_namespaces: tuple[str, ...] = ()
    name: str = "gateway"
    ledger_url: str = ""
    ledger_token: Path = Path("/var/run/secrets/llmservice-ledger/token")
    tracing_endpoint: str = ""
    tracing_samples_per_million: int = number(1_000_000, 0, 1_000_000)

    @property
    def small_body(self) -> int:
        """Largest body, in bytes, of which HAProxy reads the model: it shares the buffer with the headers."""
        return self.buffer_size - 24 * 1024

    @property
    def largest_read(self) -> int:
        """Most bytes of a refused body that are read, so that its sender, still writing, sees the answer."""
        return 2 * self.large_body

    @property
    def body_limits(self) -> dict[str, str]:
        """What stands in messages for the most bytes of a body."""
        return {"large": str(self.large_body)}

    @property
    def busy_connections(self) -> int:
        """Connections at which requests are refused: from max_connections on they would wait without an answer."""
        return self.max_connections - max(1, self.max_connections // 20)

    @property
    def activator_timeout(self) -> int:
        """Seconds in which the activator answers whatever happens: a body, a hold and a model's silence."""
        return self.upload_timeout + self.longest_hold + self.server_timeout

    @property
    def socket(self) -> Path:
        """HAProxy's runtime socket."""
        return self.run_directory / "haproxy.sock"

    @property
    def trace_socket(self) -> Path:
        """Where HAProxy sends its access log once more, for the agent to make spans of."""
        return self.run_directory / "traces.sock"

    @property
    def refusals_socket(self) -> Path:
        """Where HAProxy sends the lines of its access log that tell of errors, for the agent to count."""
        return self.run_directory / "refusals.sock"

    @property
    def maps(self) -> Path:
        """Directory of the (empty) files that give HAProxy's maps their names."""
        return self.run_directory / "maps"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Settings out of the environment; raises SettingsError for a bad value, alone or beside another, and for an
    unknown name."""
    found = Settings(**values(Settings, PREFIX, environment))
    _at_least(found, "body_memory", found.large_body, "LARGE_BODY: else no body of that size is ever taken")
    _at_least(found, "body_memory", SHARES * found.small_body, "what small bodies in a BUFFER_SIZE need")
    # HAProxy evicts the oldest entry of a full table, but none that a request under way holds.
    _at_least(found, "limited_keys", found.max_connections + 1, "more than MAX_CONNECTIONS: else limits may not hold")
    return found


def _at_least(settings: Settings, name: str, least: int, why: str) -> None:
    value = getattr(settings, name)
    if value < least:
        raise SettingsError(f"{PREFIX}{name.upper()} must be at least {least} ({why}), not {value}")


def values(kind: type[Any], prefix: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What the environment sets of the fields of a dataclass; raises SettingsError."""
    fields = {prefix + item.name.upper(): item for item in dataclasses.fields(kind)}
    found: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(prefix):
            continue
        if name not in fields:
            raise SettingsError(f"{name} is not a setting; there are {', '.join(sorted(fields))}")
        found[fields[name].name] = _parsed(name, text, fields[name])
    return found


def _namespaces(name: str, text: str) -> tuple[str, ...]:
    found = text.split(",")
    if not all(_NAMESPACE.fullmatch(each) for each in found):
        raise SettingsError(f"{name} must be names of namespaces, separated by commas, not {text!r}")
    return tuple(dict.fromkeys(found))


def _address(name: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise SettingsError(f"{name} must be an IP address, not {text!r}") from None


def _parsed(name: str, text: str, wanted: dataclasses.Field[Any]) -> Any:
    if wanted.type is Path:
        if not text.startswith("/"):
            raise SettingsError(f"{name} must be an absolute path, not {text!r}")
        return Path(text)
    if wanted.type == tuple[str, ...]:
        return _namespaces(name, text)
    if wanted.name == "address":
        return _address(name, text)
    if wanted.name in _URLS and not text.startswith(("http://", "https://")):
        raise SettingsError(f"{name} must be the base URL of {_URLS[wanted.name]}, not {text!r}")
    if wanted.type is str:
        if not text or any(character.isspace() for character in text):
            raise SettingsError(f"{name} must be one word, not {text!r}")
        return text
    low, high = wanted.metadata["low"], wanted.metadata["high"]
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)
