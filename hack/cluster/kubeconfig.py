"""kubeconfig files that carry their certificates, so that a copy works anywhere."""

import base64
import json
from pathlib import Path
from typing import Any

from hack.cluster.certificates import Pair


def render(server: str, authority: Path, user: str, pair: Pair) -> dict[str, Any]:
    """The kubeconfig of one user of one cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "llmservice",
                "cluster": {"server": server, "certificate-authority-data": _encoded(authority)},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _encoded(pair.certificate),
                    "client-key-data": _encoded(pair.key),
                },
            }
        ],
        "contexts": [{"name": "llmservice", "context": {"cluster": "llmservice", "user": user}}],
        "current-context": "llmservice",
    }


def write(path: Path, config: dict[str, Any]) -> Path:
    """Write for the owner only (YAML's subset JSON, which every client reads)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2) + "\n")
    return path


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
