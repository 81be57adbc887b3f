"""What etcd itself holds, asked without the API server."""

import base64
import http.client
import json
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hack.cluster import process
from hack.cluster.control_plane import ControlPlane

_ROOT: Final = b"/registry/"
_NOT_OURS: Final = ("/registry/events/", "/registry/leases/", "/registry/masterleases/")
"""They come and go by themselves."""


def keys(plane: ControlPlane) -> list[str]:
    """All keys but those of Events and Leases."""
    target = urlsplit(_address(plane))
    pki = plane.layout.pki
    tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    tls.load_cert_chain(pki / "etcd-client.crt", pki / "etcd-client.key")
    connection = http.client.HTTPSConnection(target.hostname or "", target.port, timeout=30, context=tls)
    wanted = {"key": _base64(_ROOT), "range_end": _base64(_ROOT[:-1] + b"0"), "keys_only": True}
    try:
        connection.request("POST", "/v3/kv/range", json.dumps(wanted))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        found = json.loads(answer.read()).get("kvs", [])
    finally:
        connection.close()
    names = [base64.b64decode(each["key"]).decode() for each in found]
    return [name for name in names if not name.startswith(_NOT_OURS)]


def _address(plane: ControlPlane) -> str:
    """As its command line says."""
    (record,) = [each for each in process.records(plane.layout.root) if each.name == "etcd"]
    words = Path(f"/proc/{record.pid}/cmdline").read_text().split("\0")
    return next(word.partition("=")[2] for word in words if word.startswith("--listen-client-urls="))


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()
