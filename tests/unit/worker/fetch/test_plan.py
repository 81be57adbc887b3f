"""Which files of a source are wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.fetch.failure import FetchFailed, Reason
from llmservice_worker.fetch.plan import RemoteFile, is_safe, wanted

WHAT = "s3://bucket/m"


def chosen(*paths: str, pickles: bool = False) -> list[str]:
    """What is wanted of files of these names."""
    return [file.path for file in wanted([RemoteFile(path, 1) for path in paths], pickles, WHAT)]


CASES: dict[str, tuple[tuple[str, ...], bool, list[str]]] = {
    "a model": (
        ("config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "README.md", ".gitattributes"),
        False,
        ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"],
    ),
    "shards and their index": (
        ("config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"),
        False,
        ["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"],
    ),
    "pickles beside safetensors": (
        ("config.json", "model.safetensors", "pytorch_model.bin", "a.pt"),
        True,
        ["config.json", "model.safetensors"],
    ),
    "pickles only, allowed": (("config.json", "pytorch_model.bin"), True, ["config.json", "pytorch_model.bin"]),
    "pickles in a folder": (
        ("config.json", "model.safetensors", "onnx/x.bin"),
        False,
        ["config.json", "model.safetensors"],
    ),
    "weights of other frameworks": (
        ("config.json", "model.safetensors", "tf_model.h5", "model.onnx", "onnx/model.safetensors"),
        False,
        ["config.json", "model.safetensors"],
    ),
    "a pooling model's folder": (
        ("config.json", "model.safetensors", "1_Pooling/config.json"),
        False,
        ["1_Pooling/config.json", "config.json", "model.safetensors"],
    ),
    "Mistral's repetition": (
        ("config.json", "consolidated.safetensors", "model-00001-of-00001.safetensors", "tekken.json"),
        False,
        ["config.json", "model-00001-of-00001.safetensors", "tekken.json"],
    ),
    "Mistral's own alone": (
        ("config.json", "consolidated.safetensors"),
        False,
        ["config.json", "consolidated.safetensors"],
    ),
    "an adapter": (
        ("adapter_config.json", "adapter_model.safetensors"),
        False,
        ["adapter_config.json", "adapter_model.safetensors"],
    ),
    "hidden folders": (
        ("config.json", "model.safetensors", ".cache/x.json"),
        False,
        ["config.json", "model.safetensors"],
    ),
}


@pytest.mark.parametrize(("paths", "pickles", "expected"), CASES.values(), ids=CASES)
def test_what_is_wanted(paths: tuple[str, ...], pickles: bool, expected: list[str]) -> None:
    assert chosen(*paths, pickles=pickles) == expected


REFUSED: dict[str, tuple[tuple[str, ...], Reason, str]] = {
    "only pickles": (("config.json", "pytorch_model.bin"), Reason.WEIGHTS_NOT_ALLOWED, "allowPickledWeights"),
    "an adapter that is a pickle": (
        ("adapter_config.json", "adapter_model.bin"),
        Reason.WEIGHTS_NOT_ALLOWED,
        "adapter_model.bin",
    ),
    "no model": (("README.md", "x.safetensors"), Reason.SOURCE_NOT_FOUND, "no config.json among its 2 files"),
    "nothing": ((), Reason.SOURCE_NOT_FOUND, "among its 0 files"),
    "a folder above": (("config.json", "../x.json"), Reason.CORRUPT, "leads out of its directory"),
    "from the root": (("config.json", "/etc/x.json"), Reason.CORRUPT, "leads out of its directory"),
    "an empty part": (("config.json", "a//x.json"), Reason.CORRUPT, "leads out of its directory"),
    "a backslash": (("config.json", "a\\x.json"), Reason.CORRUPT, "leads out of its directory"),
    "a line break": (("config.json", "a\nb.json"), Reason.CORRUPT, "leads out of its directory"),
    "far too many": (
        ("config.json", *(f"{number}.json" for number in range(10_000))),
        Reason.CORRUPT,
        "10001 files, over 10000",
    ),
}


@pytest.mark.parametrize(("paths", "reason", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(paths: tuple[str, ...], reason: Reason, text: str) -> None:
    with pytest.raises(FetchFailed) as refused:
        chosen(*paths)
    assert refused.value.reason is reason
    assert text in refused.value.message
    assert WHAT in refused.value.message


@given(st.text(max_size=20))
def test_a_safe_path_stays_below_its_directory(path: str) -> None:
    if is_safe(path):
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert "" not in path.split("/")
