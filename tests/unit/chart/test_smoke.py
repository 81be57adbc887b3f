"""What `helm test` runs, against a gateway and an API server that are played here."""

import base64
import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llmservice_gateway.pepper import Pepper
from tests.unit.chart.rendering import CHART

PEPPER = base64.b64encode(bytes(range(32))).decode()
PROBE = f"Bearer {Pepper(PEPPER).probe_key()}"
COMPLETION = {"choices": [{"message": {"content": "Hello!"}}], "usage": {"completion_tokens": 2}}


def service(name: str, ready: str, *tasks: str) -> dict[str, Any]:
    conditions = [{"type": "Placed", "status": "True"}, {"type": "Ready", "status": ready}]
    return {
        "metadata": {"namespace": "demo", "name": name},
        "spec": {"model": {"tasks": list(tasks)} if tasks else {}},
        "status": {"model": {"name": f"m-{name}"}, "conditions": conditions},
    }


class World:
    """Answers of gateway and API server; `asked` is what came to the gateway."""

    def __init__(self) -> None:
        self.without_key = 401
        self.completion: tuple[int, dict[str, Any]] = (200, COMPLETION)
        self.services = [
            service("cold", "False"),
            service("vectors", "True", "Embed"),
            service("one", "True"),
            service("two", "True"),
        ]
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.listed: list[str] = []

    def answer(self, path: str, key: str | None, body: bytes) -> tuple[int, dict[str, Any]]:
        if path.startswith("/apis"):
            self.listed.append(path.removeprefix("/apis"))
            return 200, {"items": self.services}
        if path == "/v1/models":
            return self.without_key, {}
        assert key == PROBE
        self.asked.append((path, json.loads(body)))
        return self.completion


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def smoke(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            status, answer = world.answer(self.path, self.headers["authorization"], body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    (tmp_path / "token").write_text("account")
    (tmp_path / "pepper").write_text(PEPPER)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        module = loaded()
        monkeypatch.setattr(module, "ACCOUNT", tmp_path)
        monkeypatch.setattr(module, "API", f"{url}/apis")
        for name, value in {
            "GATEWAY_URL": url,
            "PEPPER_FILE": str(tmp_path / "pepper"),
            "WATCH_NAMESPACES": "",
            "LLMSERVICE": "",
            "TIMEOUT_SECONDS": "5",
        }.items():
            monkeypatch.setenv(name, value)
        yield module
        server.shutdown()


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("smoke", CHART / "files" / "smoke.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_ready_model_completes(smoke: ModuleType, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main() == 0
    ((path, question),) = world.asked
    assert path == "/demo/one/v1/chat/completions"
    assert question["model"] == "m-one"
    assert "m-one answers (2 tokens): Hello!" in capsys.readouterr().out


def test_a_model_can_be_named(smoke: ModuleType, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSERVICE", "demo/two")
    assert smoke.main() == 0
    assert world.asked[0][0] == "/demo/two/v1/chat/completions"


def test_a_named_model_that_is_not_ready_fails(
    smoke: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMSERVICE", "demo/cold")
    assert smoke.main() == 1
    assert "kubectl describe llm -n demo cold" in capsys.readouterr().err


def test_without_a_ready_model_the_refusal_is_tested_and_said(
    smoke: ModuleType, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.services = []
    assert smoke.main() == 0
    assert world.asked == []
    assert "none that is Ready" in capsys.readouterr().out


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_gateway_that_does_not_ask_for_a_key_fails(smoke: ModuleType, world: World, status: int) -> None:
    world.without_key = status
    assert smoke.main() == 1


@pytest.mark.parametrize(
    "answer",
    [
        (503, {"error": {"message": "no server is available"}}),
        (200, {"choices": [{"message": {"content": ""}}], "usage": {"completion_tokens": 0}}),
    ],
)
def test_no_token_is_a_failure(smoke: ModuleType, world: World, answer: tuple[int, dict[str, Any]]) -> None:
    world.completion = answer
    assert smoke.main() == 1


def test_only_watched_namespaces_are_listed(smoke: ModuleType, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCH_NAMESPACES", "a,b")
    assert smoke.main() == 0
    assert world.listed == ["/namespaces/a/llmservices", "/namespaces/b/llmservices"]


def test_a_gateway_that_is_away_fails_without_a_trace(smoke: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:9")
    assert smoke.main() == 1
