"""hf:// from a mirror of the hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmservice_worker.fetch.failure import FetchFailed, Reason
from llmservice_worker.fetch.source import Source
from tests.integration import hub_mirror
from tests.integration.fetching import MIB, a_model, digest_of, fetch, laid_down
from tests.integration.hub_mirror import COMMIT, Mirror
from tests.integration.relay import relayed

MODEL = a_model()
SIZE = sum(map(len, MODEL.values()))
TOKEN = {"HF_TOKEN": "hf_right"}


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """With a public and a private repository."""
    with hub_mirror.running() as found:
        beside = {".gitattributes": b"", "README.md": b"", "pytorch_model.bin": b"pickle"}
        found.public["org/open"] = MODEL | beside
        found.public["org/pickled"] = {"config.json": MODEL["config.json"], "pytorch_model.bin": b"pickle"}
        found.private["org/closed"] = MODEL
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The volume."""
    return tmp_path / "models"


def source(mirror: Mirror, name: str = "org/open", **more: Any) -> Source:
    """A repository of the mirror."""
    return Source(uri=f"hf://{name}", **({"endpoint": mirror.url} | more))


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_model_comes_whole_at_one_commit(mirror: Mirror, root: Path, revision: str | None) -> None:
    wanted = source(mirror, revision=revision)
    assert fetch(wanted, root).digest == digest_of(MODEL)
    assert laid_down(wanted, root) == MODEL
    resolved = [path for path, _ in mirror.asked if "/resolve/" in path]
    assert len(resolved) == len(MODEL)
    assert all(f"/resolve/{COMMIT}/" in path for path in resolved)


def test_it_works_where_engines_are_kept_from_the_hub(
    mirror: Mirror, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(source(mirror), root).digest == digest_of(MODEL)


def test_a_private_model_needs_its_token_which_the_cdn_never_sees(mirror: Mirror, root: Path) -> None:
    assert fetch(source(mirror, "org/closed"), root, TOKEN).digest == digest_of(MODEL)
    assert any(path.startswith("/cdn/org/closed/") for path, _ in mirror.asked)
    assert mirror.tokens_at_cdn == []


FAILURES: dict[str, tuple[str, dict[str, Any], dict[str, str], Reason, str]] = {
    "private, no token": ("org/closed", {}, {}, Reason.CREDENTIALS_REFUSED, "key `token`"),
    "private, wrong token": ("org/closed", {}, {"HF_TOKEN": "hf_no"}, Reason.CREDENTIALS_REFUSED, "key `token`"),
    "gone": ("org/gone", {}, TOKEN, Reason.SOURCE_NOT_FOUND, "correct spec.model.source"),
    "gone, no token": ("org/gone", {}, {}, Reason.CREDENTIALS_REFUSED, "does not exist or needs a token"),
    "no such revision": ("org/open", {"revision": "v9"}, {}, Reason.SOURCE_NOT_FOUND, "hf://org/open at v9"),
    "pickles": ("org/pickled", {}, {}, Reason.WEIGHTS_NOT_ALLOWED, "allowPickledWeights"),
}


@pytest.mark.parametrize(("name", "more", "credentials", "reason", "text"), FAILURES.values(), ids=FAILURES)
def test_each_failure_has_its_reason(
    mirror: Mirror, root: Path, name: str, more: dict[str, Any], credentials: dict[str, str], reason: Reason, text: str
) -> None:
    with pytest.raises(FetchFailed) as failed:
        fetch(source(mirror, name, **more), root, credentials)
    assert failed.value.reason is reason
    assert text in failed.value.message
    assert "hf_no" not in failed.value.message


def test_what_is_no_hub_is_said(mirror: Mirror, root: Path) -> None:
    mirror.other["web/api/models/org/open"] = b"<html>welcome</html>"
    with pytest.raises(FetchFailed, match="does not answer as a hub does") as failed:
        fetch(source(mirror, endpoint=f"{mirror.url}/web"), root)
    assert failed.value.reason is Reason.SOURCE_UNREACHABLE


def test_a_mirror_that_is_not_there_is_unreachable(root: Path) -> None:
    with pytest.raises(FetchFailed, match="cannot be reached") as failed:
        fetch(Source(uri="hf://org/open", endpoint="http://127.0.0.1:9"), root)
    assert failed.value.reason is Reason.SOURCE_UNREACHABLE


def test_ranges_are_asked_of_the_cdn_after_a_break(mirror: Mirror, root: Path) -> None:
    host, port = mirror.cdn.removeprefix("http://").split(":")
    with relayed(host, int(port)) as relay:
        mirror.cdn = relay.url
        relay.cut_after = 2 * MIB
        assert fetch(source(mirror), root).digest == digest_of(MODEL)
        assert relay.served < SIZE + MIB + 64 * 1024
    assert [ranged for path, ranged in mirror.asked if ranged and path.startswith("/cdn/")] != []


@pytest.mark.parametrize(("path", "algorithm"), [("model.safetensors", "sha256"), ("tokenizer.json", "git-sha1")])
def test_lfs_files_and_small_ones_are_verified(mirror: Mirror, root: Path, path: str, algorithm: str) -> None:
    content = MODEL[path]
    told = hub_mirror.listing(MODEL)
    mirror.public["org/open"] = MODEL | {path: bytes([content[0] ^ 1]) + content[1:]}
    mirror.listed["org/open"] = told
    with pytest.raises(FetchFailed, match=f"{path} has {algorithm}") as failed:
        fetch(source(mirror), root)
    assert failed.value.reason is Reason.CORRUPT


def test_a_file_that_leads_out_is_refused(mirror: Mirror, root: Path) -> None:
    mirror.public["org/open"] = MODEL | {"../../evil.json": b"{}"}
    with pytest.raises(FetchFailed, match="leads out of its directory") as failed:
        fetch(source(mirror), root)
    assert failed.value.reason is Reason.CORRUPT
    assert not list(root.parent.rglob("evil.json"))
