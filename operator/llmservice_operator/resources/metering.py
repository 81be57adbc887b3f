"""What a worker pod needs to tell the ledger of usage: where it is, a token for it, and a spool on disk."""

from typing import Any, Final

from llmservice_api.names import LEDGER_AUDIENCE
from llmservice_worker.args import LEDGER_TOKEN, LEDGER_URL, SPOOL, SPOOL_MIB, Origin

Json = dict[str, Any]

_TOKENS: Final = "/var/run/secrets/llmservice-ledger"
_TOKEN: Final = "token"
_TOKEN_S: Final = 3600
_VOLUMES: Final[list[Json]] = [
    {"name": "usage", "emptyDir": {"sizeLimit": f"{SPOOL_MIB}Mi"}},
    {
        "name": "ledger-token",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"audience": LEDGER_AUDIENCE, "expirationSeconds": _TOKEN_S, "path": _TOKEN}}
            ]
        },
    },
]
_MOUNTS: Final[list[Json]] = [
    {"name": "usage", "mountPath": SPOOL},
    {"name": "ledger-token", "mountPath": _TOKENS, "readOnly": True},
]


def with_metering(template: Json, ledger_url: str | None) -> Json:
    """A worker's template whose replica tells the ledger at `ledger_url`; without one, as it was."""
    if ledger_url is None:
        return template
    pod = template["spec"]
    engine, *others = pod["containers"]
    told = {LEDGER_URL: ledger_url, LEDGER_TOKEN: f"{_TOKENS}/{_TOKEN}"}
    engine = engine | {
        "env": [*engine["env"], *({"name": name, "value": value} for name, value in told.items())],
        "volumeMounts": [*engine["volumeMounts"], *_MOUNTS],
    }
    volumes = [*pod["volumes"], *_VOLUMES]
    return template | {"spec": pod | {"containers": [engine, *others], "volumes": volumes}}


def origin(service: Json, revision: str) -> Origin:
    """What usage events of a revision say of where they come from; no part of what makes a revision another one."""
    metadata = service["metadata"]
    return Origin(namespace=metadata["namespace"], service=metadata["name"], revision=revision)
