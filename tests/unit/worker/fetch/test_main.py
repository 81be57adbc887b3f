"""The command: its arguments, its outcome, its port."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from llmservice_worker.fetch import __main__ as command
from llmservice_worker.fetch.__main__ import fetched_at_last, main
from llmservice_worker.fetch.credentials import credentials, mounted
from llmservice_worker.fetch.fetching import Fetcher
from llmservice_worker.fetch.progress import Meter
from llmservice_worker.fetch.server import serving
from llmservice_worker.fetch.source import ENVIRONMENT, FetchArgs, Source
from llmservice_worker.fetch.store import Fetched


@pytest.mark.parametrize("told", ["", "{", "{}", '{"source": {"uri": "hf://o/m", "token": "x"}}'])
def test_wrong_arguments_end_it_with_a_line_that_names_them(told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main({ENVIRONMENT: told} if told else {}) == 2
    assert ENVIRONMENT in capsys.readouterr().err


class Rests:
    """Waits that take no time; `then` is called at a second of them."""

    def __init__(self, second: int, then: Callable[[], object]) -> None:
        self.count, self._second, self._then = 0, second, then

    def __call__(self, _: float) -> None:
        self.count += 1
        if self.count == self._second:
            self._then()


def gave_up() -> None:
    """Ends the test's endless tries."""
    raise InterruptedError


def arguments(tmp_path: Path) -> FetchArgs:
    """Of a source that nobody can fetch."""
    return FetchArgs(source=Source(uri="ftp://host/m"), root=str(tmp_path / "m"), credentials=str(tmp_path / "keys"))


def test_tries_are_further_and_further_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter(time.monotonic)
    with pytest.raises(InterruptedError):
        fetched_at_last(arguments(tmp_path), meter, Rests(2000, gave_up))
    waits = [text.rsplit(" ", 2)[-2] for text in capsys.readouterr().out.splitlines()]
    assert waits[:8] == ["10", "20", "40", "80", "160", "300", "300", "300"]
    assert meter.snapshot()["reason"] == "SourceNotFound"


def test_other_credentials_are_tried_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    rests = Rests(3, lambda: (keys / "token").write_text("hf_new\n"))
    with pytest.raises(InterruptedError):
        fetched_at_last(
            arguments(tmp_path), Meter(time.monotonic), lambda _: rests(1) if rests.count < 9 else gave_up()
        )
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert credentials(mounted(keys)) == {"HF_TOKEN": "hf_new"}


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["no text", "not to be read"])
def test_credentials_that_cannot_be_read_are_said_and_tried_again(
    tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, meter = tmp_path / "keys", Meter(time.monotonic)
    keys.mkdir()
    (keys / "token").write_bytes(content or b"x")
    if content is None:
        monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(InterruptedError):
        fetched_at_last(arguments(tmp_path), meter, Rests(30, gave_up))
    said = meter.snapshot()
    assert said["reason"] == "CredentialsRefused"
    assert said["message"].startswith("key token of the Secret in model.credentialsSecretRef")


def refused(_: Path) -> bytes:
    """As of a file of somebody else's."""
    raise PermissionError


class Broken(Fetcher):
    """One with a fault of its own."""

    def fetch(self, source: Source) -> Fetched:
        """Fails as no source does."""
        raise KeyError(source.uri)


def test_an_error_that_nobody_foresaw_is_logged_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(command, "Fetcher", Broken)
    meter = Meter(time.monotonic)
    with pytest.raises(InterruptedError):
        fetched_at_last(arguments(tmp_path), meter, Rests(30, gave_up))
    said = meter.snapshot()
    assert said["reason"] == "SourceUnreachable"
    assert said["message"].startswith("ftp://host/m cannot be fetched (KeyError)")
    tries = [record for record in caplog.records if record.exc_info]
    assert len(tries) == 2


def test_progress_is_served_and_nothing_else() -> None:
    with serving(0, lambda: {"phase": "Downloading", "percent": 3}) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=5) as answer:
            assert json.load(answer) == {"phase": "Downloading", "percent": 3}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/etc/passwd", timeout=5)
        refused.value.close()
        assert refused.value.code == 404
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=5)
