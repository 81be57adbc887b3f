import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from llmservice_worker.adapters.checks import FILES, Base, Fault
from llmservice_worker.adapters.files import AdapterFiles
from tests.unit.worker.adapters.directories import adapter, weights


def refuses(_: str, __: Path) -> None:
    raise Fault("SourceUnreachable", "nobody answers")


def files(tmp_path: Path, fetch: Callable[[str, Path], None] = refuses, shared: bool = False) -> AdapterFiles:
    return AdapterFiles(tmp_path / "cache", Base(16), fetch, volumes=tmp_path / "models", shared=shared)


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def test_a_volumes_adapter_is_copied_so_that_later_changes_do_not_reach_the_engine(tmp_path: Path) -> None:
    source = adapter(tmp_path / "models/claim/legal")
    (source / "adapter_model.bin").write_bytes(b"pickle")
    directory = files(tmp_path).bring("pvc://claim/legal")
    (source / "adapter_model.safetensors").write_bytes(b"overwritten")
    assert sorted(file.name for file in directory.iterdir()) == sorted(FILES)
    assert (directory / "adapter_model.safetensors").read_bytes() == weights()


def test_two_versions_have_directories_of_their_own_and_each_goes_alone(tmp_path: Path) -> None:
    adapter(tmp_path / "models/claim/legal")
    library = files(tmp_path)
    first, second = library.bring("pvc://claim/legal"), library.bring("pvc://claim/legal")
    library.drop(first)
    assert kept(tmp_path) == [second]
    library.drop(tmp_path / "models/claim/legal")
    assert (tmp_path / "models/claim/legal/adapter_config.json").is_file()


def test_what_is_fetched_is_checked_and_named_as_its_owner_does(tmp_path: Path) -> None:
    def fetch(source: str, directory: Path) -> None:
        adapter(directory, r=0 if source.endswith("bad") else 2)

    library = files(tmp_path, fetch)
    assert library.bring("s3://bucket/good").is_dir()
    with pytest.raises(Fault, match="adapter source s3://bucket/bad has rank r 0"):
        library.bring("s3://bucket/bad")
    assert len(kept(tmp_path)) == 1


def full(_: str, __: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def too_large(_: str, __: Path) -> None:
    raise OSError(errno.EFBIG, "File too large")


def broken(_: str, __: Path) -> None:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    ("fetch", "source", "reason", "said"),
    [
        (refuses, "hf://org/a", "SourceUnreachable", "nobody answers"),
        (full, "hf://org/a", "DiskFull", "no room for it in the pod's /cache"),
        (too_large, "hf://org/a", "DiskFull", "no room for it in the pod's /cache"),
        (broken, "hf://org/a", "SourceUnreachable", "cannot be read: Input/output error"),
        (refuses, "pvc://claim/none", "SourceNotFound", "does not exist"),
        (refuses, "pvc://claim/../../etc", "SourceNotFound", "contains '..'"),
    ],
)
def test_a_source_that_cannot_be_had_leaves_nothing(
    tmp_path: Path, fetch: Callable[[str, Path], None], source: str, reason: str, said: str
) -> None:
    with pytest.raises(Fault, match=said) as raised:
        files(tmp_path, fetch).bring(source)
    assert raised.value.reason == reason
    assert kept(tmp_path) == []


def test_over_several_nodes_adapters_stay_where_all_of_them_read(tmp_path: Path) -> None:
    source = adapter(tmp_path / "models/claim/legal")
    library = files(tmp_path, shared=True)
    assert library.bring("pvc://claim/legal") == source
    with pytest.raises(Fault, match="from pvc:// only"):
        library.bring("s3://bucket/a")
