"""What a deployment can set, read from LLMSERVICE_LEDGER_* once at start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmservice_gateway.settings import number, values

PREFIX: Final = "LLMSERVICE_LEDGER_"


@dataclass(frozen=True)
class Settings:
    """Settings of the ledger; LLMSERVICE_LEDGER_<FIELD NAME IN CAPITALS> sets a field.

    `port` has all that takes a token, `health_port` health and figures. `database` is SQLite's file; where `dsn_file`
    names a file, its text is the DSN of the PostgreSQL used instead. `namespace` and `gateway_account` say whose tokens
    are gateways'. `watch_namespaces` empty: all.
    """

    address: str = "0.0.0.0"
    port: int = number(8410, 1, 65535)
    health_port: int = number(8411, 1, 65535)
    database: Path = Path("/var/lib/llmservice/ledger.sqlite")
    dsn_file: str = ""
    currency: str = "usd"
    retention_days: int = number(400, 1, 36500)
    namespace: str = "llmservice-system"
    gateway_account: str = "gateway"
    relist_interval: int = number(300, 10, 86400)
    watch_namespaces: tuple[str, ...] = ()


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Settings out of the environment; raises SettingsError for a bad value and for an unknown name."""
    return Settings(**values(Settings, PREFIX, environment))
