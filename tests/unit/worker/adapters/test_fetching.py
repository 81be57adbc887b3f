from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llmservice_worker.adapters import fetching
from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.fetching import AdapterFetch


def test_credentials_are_read_anew_for_each_adapter_and_from_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Mapping[str, str]] = []

    class Fetcher:
        """Notes what it is given."""

        def __init__(self, _root: Path, credentials: Mapping[str, str], *_: Any, **__: Any) -> None:
            asked.append(credentials)

        def fetch(self, _: Any) -> None:
            """Nothing."""

    monkeypatch.setattr(fetching, "Fetcher", Fetcher)
    secrets, directory = tmp_path / "secrets", tmp_path / "cache" / "a"
    secrets.mkdir()
    directory.mkdir(parents=True)
    fetch = AdapterFetch({"HF_TOKEN": "of the environment"}, secrets)
    fetch("hf://o/a", directory)
    (secrets / "token").write_text("hf_old\n")
    fetch("hf://o/a", directory)
    (secrets / "token").write_text("hf_new\n")
    fetch("hf://o/a", directory)
    assert asked == [{}, {"HF_TOKEN": "hf_old"}, {"HF_TOKEN": "hf_new"}]


def test_credentials_that_are_no_text_are_the_adapters_fault(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff")
    directory = tmp_path / "a"
    directory.mkdir()
    with pytest.raises(Fault) as refused:
        AdapterFetch({}, tmp_path)("hf://o/a", directory)
    assert refused.value.reason == "CredentialsRefused"
