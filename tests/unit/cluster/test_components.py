"""A component's tag is the hash of all that its build reads."""

from pathlib import Path

import pytest

from hack.cluster.failure import ClusterError
from hack.cluster.images import components
from hack.cluster.images.components import Component

DOCKERFILE = """\
ARG BASE=debian:12-slim
FROM ${BASE}
ARG TARGET=cpu
COPY --chown=1:1 requirements/${TARGET}.txt \\
     /tmp/
COPY --from=build /a /b
COPY code /opt/code
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "thing/Dockerfile": DOCKERFILE,
        "requirements/cpu.txt": "a==1\n",
        "requirements/cuda.txt": "a==2\n",
        "code/main.py": "print()\n",
        "other/main.py": "\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(components, "REPOSITORY", tmp_path)
    monkeypatch.setattr(
        components,
        "COMPONENTS",
        {
            "thing": Component("thing", {"TARGET": "cpu"}, "cpu-"),
            "cuda": Component("thing", {"TARGET": "cuda"}, "cuda-"),
        },
    )
    return tmp_path


def test_what_is_copied_is_read_from_the_dockerfile(repository: Path) -> None:
    found = components.copied(components.component("thing"))
    assert found == [repository / "requirements/cpu.txt", repository / "code"]


def test_the_reference_is_full_and_begins_its_tag_with_the_target(repository: Path) -> None:  # noqa: ARG001
    assert components.reference("thing", "base").startswith("docker.io/llmservice/thing:cpu-")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("thing/Dockerfile", True),
        ("requirements/cpu.txt", True),
        ("requirements/cuda.txt", False),
        ("code/main.py", True),
        ("code/new.py", True),
        ("code/__pycache__/main.pyc", False),
        ("other/main.py", False),
    ],
)
def test_the_tag_changes_with_what_is_copied_and_with_nothing_else(repository: Path, name: str, changes: bool) -> None:
    before = components.reference("thing", "base")
    (repository / name).parent.mkdir(exist_ok=True)
    with (repository / name).open("a") as stream:
        stream.write("\n# more\n")
    assert (components.reference("thing", "base") != before) is changes


def test_the_tag_changes_with_the_base_and_the_target(repository: Path) -> None:  # noqa: ARG001
    tags = {components.reference(name, base).rpartition("-")[2] for name in ("thing", "cuda") for base in ("a", "b")}
    assert len(tags) == 4


def test_an_unknown_image_is_answered_with_the_names(repository: Path) -> None:  # noqa: ARG001
    with pytest.raises(ClusterError, match="choose from thing, cuda"):
        components.reference("thign", "base")


def test_a_source_that_is_missing_is_named(repository: Path) -> None:
    (repository / "requirements/cpu.txt").unlink()
    with pytest.raises(ClusterError, match=r"thing/Dockerfile copies requirements/cpu\.txt, which is not there"):
        components.reference("thing", "base")
