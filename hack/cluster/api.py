"""The little of the API that hack/ asks itself: GET with the admin's certificate, and kubectl for the rest."""

import base64
import functools
import http.client
import json
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hack.cluster import binaries, command
from hack.cluster.failure import ClusterError


class Api:
    """Requests as the user of one kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    @property
    def server(self) -> str:
        """The API's address."""
        return str(self._config["clusters"][0]["cluster"]["server"])

    def get(self, path: str) -> Any | None:
        """The decoded answer of a GET; None while there is no answer, or none with status 200."""
        try:
            status, body = self._request("GET", path)
        except OSError:
            return None
        if status != 200:
            return None
        return json.loads(body) if body.startswith(b"{") else body.decode()

    def apply_one(self, path: str, content: Mapping[str, Any]) -> None:
        """Server-side apply of one object without kubectl, whose own checks take seconds for large ones."""
        status, body = self._request("PATCH", f"{path}?fieldManager=hack&force=true", json.dumps(content))
        if status not in (200, 201):
            raise ClusterError(f"apply of {path} failed ({status}): {body[-400:].decode()}")

    def ready(self) -> bool:
        return self.get("/readyz") == "ok"

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Standard output of kubectl."""
        return command.output([binaries.path("kubectl"), f"--kubeconfig={self.kubeconfig}", *words], stdin=stdin)

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Server-side apply of objects, as the field manager of hack/."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=hack", "-f", "-", stdin=text)

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        target = urlsplit(self.server)
        connection = http.client.HTTPSConnection(target.hostname or "", target.port, timeout=30, context=self._context)
        headers = {"Accept": "application/json", **({"Content-Type": "application/apply-patch+yaml"} if body else {})}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @functools.cached_property
    def _config(self) -> Any:
        return json.loads(self.kubeconfig.read_text())

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        authority = self._config["clusters"][0]["cluster"]["certificate-authority-data"]
        user = self._config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("certificate", "key"):
                pair.write(base64.b64decode(user[f"client-{part}-data"]))
            pair.flush()
            context.load_cert_chain(pair.name)
        return context
