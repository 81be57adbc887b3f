"""The command: its arguments, its outcome, its port."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from llmservice_worker.fetch.__main__ import main
from llmservice_worker.fetch.server import serving
from llmservice_worker.fetch.source import ENVIRONMENT, FetchArgs, Source


@pytest.mark.parametrize("told", ["", "{", "{}", '{"source": {"uri": "hf://o/m", "token": "x"}}'])
def test_wrong_arguments_end_it_with_a_line_that_names_them(told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main({ENVIRONMENT: told} if told else {}) == 2
    assert ENVIRONMENT in capsys.readouterr().err


def test_a_failure_is_its_termination_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "termination"
    args = FetchArgs(source=Source(uri="ftp://host/m"), root=str(tmp_path / "m"), port=0, termination_log=str(log))
    assert main({ENVIRONMENT: args.model_dump_json(), "HF_TOKEN": "hf_secret"}) == 1
    said = json.loads(log.read_text())
    assert said["reason"] == "SourceNotFound"
    assert "ftp://host/m" in said["message"]
    assert "hf_secret" not in capsys.readouterr().out + log.read_text()


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
