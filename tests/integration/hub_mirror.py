"""A mirror of the hub on this machine: the API that lists a model, `resolve` that leads on to a CDN, the CDN."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = ".safetensors"


@dataclass
class Mirror:
    """Repositories by name. `token`: what the private ones ask for; `asked`: each request's path and range.

    `other`: files at paths of their own; `listed`: what the API says of a repository in place of the truth.
    """

    token: str = "hf_right"
    public: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    private: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    other: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens_at_cdn: list[str] = field(default_factory=list)
    cdn: str = ""
    url: str = ""

    def repository(self, name: str, authorization: str) -> tuple[int, Mapping[str, bytes]]:
        """Status and files, as the hub tells strangers, guests and friends."""
        if name in self.public:
            return 200, self.public[name]
        right = authorization == f"Bearer {self.token}"
        if authorization and not right:
            return 401, {}
        if name in self.private:
            return (200, self.private[name]) if right else (401, {})
        return (404 if right else 401), {}


def listing(files: Mapping[str, bytes]) -> dict[str, Any]:
    """As `/api/models/<name>?blobs=true` answers; large files are kept in LFS."""
    return {"id": "org/name", "sha": COMMIT, "siblings": [_sibling(path, content) for path, content in files.items()]}


def _sibling(path: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    found: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": blob}
    if path.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        found |= {"blobId": "0" * 40, "lfs": {"sha256": digest, "size": len(content), "pointerSize": 134}}
    return found


class _Handler(BaseHTTPRequestHandler):
    mirror: Mirror
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.mirror.asked.append((path, self.headers.get("Range", "")))
        authorization = self.headers.get("Authorization", "")
        if path.startswith("/cdn/"):
            self.mirror.tokens_at_cdn += [authorization] if authorization else []
            self._cdn(path.removeprefix("/cdn/"))
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"), authorization)
        elif path.removeprefix("/") in self.mirror.other:
            self._bytes(self.mirror.other[path.removeprefix("/")])
        elif path.startswith("/files/"):
            self._say(404, b"")
        else:
            self._resolve(path.removeprefix("/"), authorization)

    def _api(self, rest: str, authorization: str) -> None:
        name, _, revision = rest.partition("/revision/")
        status, files = self.mirror.repository(name, authorization)
        if status == 200 and revision not in ("", "main", COMMIT):
            status = 404
        told = self.mirror.listed.get(name) or listing(files) if status == 200 else {"error": "no"}
        self._say(status, json.dumps(told).encode())

    def _resolve(self, rest: str, authorization: str) -> None:
        name, _, path = rest.partition(f"/resolve/{COMMIT}/")
        status, files = self.mirror.repository(name, authorization)
        if status == 200 and path in files:
            self.send_response(302)
            self.send_header("Location", f"{self.mirror.cdn}/cdn/{name}/{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._say(404 if status == 200 else status, b"{}")

    def _cdn(self, rest: str) -> None:
        org, name, path = rest.split("/", 2)
        files = (self.mirror.public | self.mirror.private)[f"{org}/{name}"]
        self._bytes(files[path])

    def _bytes(self, content: bytes) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        ranged = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self._say(206 if "Range" in self.headers else 200, content[start:], ranged if start else {})

    def _say(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def running() -> Iterator[Mirror]:
    """A mirror and, at another origin, its CDN, while the body runs."""
    mirror = Mirror()
    handler = type("Handler", (_Handler,), {"mirror": mirror})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}) for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.daemon_threads = True
        thread.start()
    mirror.url, mirror.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield mirror
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
