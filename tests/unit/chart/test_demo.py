"""The demo's own part: what it tells meanwhile, how a failure ends, what a shell can take over."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from hack import demo, install
from hack.cluster import full
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps

ENDPOINT = demo.Endpoint("http://10.0.0.1/v1", "llms_0123.it's", "smollm2")
NOWHERE = Path("/nowhere")


def conditions(ready: str, message: str, **others: str) -> install.Json:
    """An LLMService with Ready, Progressing with a message, and others by type and status."""
    found = [
        {"type": "Ready", "status": ready, "message": "", "observedGeneration": 1},
        {"type": "Progressing", "status": "True", "message": message, "observedGeneration": 1},
        *({"type": kind, "status": status, "observedGeneration": 1} for kind, status in others.items()),
    ]
    return {"metadata": {"generation": 1}, "status": {"conditions": found, "model": {"name": "smollm2"}}}


class Recorder(Steps):
    """Steps that keep what was said."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def seen(monkeypatch: pytest.MonkeyPatch, *states: install.Json | None) -> None:
    """The LLMService is seen in these states, one a look."""
    looks: Iterator[install.Json | None] = iter(states)
    monkeypatch.setattr(install, "llmservice", lambda *_: next(looks))
    monkeypatch.setattr("time.sleep", lambda _: None)


def test_each_new_message_is_said_once_while_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    pending, starting = conditions("False", "0 of 2 pods ready"), conditions("False", "[1] of 2 pods ready")
    seen(monkeypatch, None, pending, pending, starting, conditions("True", "rolled out"))
    steps = Recorder()
    demo.wait_ready(NOWHERE, steps)
    assert [text.replace("\\", "").removeprefix("[dim]  ").removesuffix("[/dim]") for text in steps.said] == [
        "0 of 2 pods ready",
        "[1] of 2 pods ready",
    ]


def test_a_stalled_service_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, conditions("False", "no such directory: /models/x", Stalled="True"))
    with pytest.raises(ClusterError, match="no such directory"):
        demo.wait_ready(NOWHERE, Recorder())


def test_a_failing_step_shows_what_was_gathered_and_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "evidence.log"
    log.write_text("the line that tells why\n")

    def fails(*_: object) -> None:
        with demo._shown(lambda: log):
            raise ClusterError("not so after 600 s")

    monkeypatch.setattr(demo, "up", fails)
    assert demo.main(["up"]) == 1
    told = capsys.readouterr().err
    assert "the line that tells why" in told
    assert told.rstrip().endswith("error: not so after 600 s")


@pytest.mark.parametrize("words", [[], ["sideways"], ["up", "down"]])
def test_an_unknown_verb_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(words) == 2
    assert "usage" in capsys.readouterr().err


def test_env_without_a_demo_prints_nothing_to_evaluate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(full, "running", lambda: False)
    assert demo.main(["env"]) == 1
    assert capsys.readouterr().out == ""


def test_exports_survive_a_shell() -> None:
    script = demo.exports(Path("/tmp/a b/kubeconfig"), ENDPOINT)
    script += '\nprintf "%s\\n" "$KUBECONFIG" "$OPENAI_BASE_URL" "$OPENAI_API_KEY" "$LLM_MODEL"'
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["/tmp/a b/kubeconfig", ENDPOINT.base_url, ENDPOINT.api_key, "smollm2"]


def test_the_key_stays_out_of_the_advice() -> None:
    assert ENDPOINT.api_key not in demo.how_to_go_on(ENDPOINT)
