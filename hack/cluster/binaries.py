"""The Go programs, built once for each pinned version and kept in the cache."""

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import command
from hack.cluster.cache import TOOLS, cache_root, locked
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps

ENVIRONMENT = {"CGO_ENABLED": "0"}


@dataclass(frozen=True)
class Tool:
    """A program: the folder of its go.mod, the module that gives its version, the package to build."""

    name: str
    folder: str
    module: str
    package: str
    carries: str = ""
    """A folder of the module that is kept beside the binary (`config` with CRDs and RBAC rules)."""


def _kubernetes(name: str) -> Tool:
    return Tool(name, "kubernetes", "k8s.io/kubernetes", f"k8s.io/kubernetes/cmd/{name}")


CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
NODE = ("kubelet", "kube-proxy")
TOOLS_BY_NAME = {
    tool.name: tool
    for tool in (
        *(_kubernetes(name) for name in (*CONTROL_PLANE[1:], *NODE)),
        Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
        Tool("coredns", "coredns", "github.com/coredns/coredns", "github.com/coredns/coredns"),
        Tool(
            "kuberay",
            "kuberay",
            "github.com/ray-project/kuberay/ray-operator",
            "github.com/ray-project/kuberay/ray-operator",
            carries="config",
        ),
        Tool("kwok", "kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Tool("helm", "helm", "helm.sh/helm/v3", "helm.sh/helm/v3/cmd/helm"),
        Tool("versitygw", "versitygw", "github.com/versity/versitygw", "github.com/versity/versitygw/cmd/versitygw"),
    )
}


def version(tool: Tool) -> str:
    """The module version that go.mod requires."""
    text = (TOOLS / tool.folder / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(tool.module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise ClusterError(f"{tool.folder}/go.mod does not require {tool.module}")
    return found.group(1)


def flags(tool: Tool) -> tuple[str, ...]:
    """The build's flags; Kubernetes reads its version from the linker."""
    if tool.folder != "kubernetes":
        return ("-trimpath", "-ldflags", "-s -w")
    full = version(tool)
    major, minor = full.removeprefix("v").split(".")[:2]
    stamp = "k8s.io/component-base/version"
    linker = f"-s -w -X {stamp}.gitVersion={full} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    return ("-trimpath", "-ldflags", linker)


def key(tool: Tool) -> str:
    """Version and hash of all that decides the binary."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((TOOLS / tool.folder / name).read_bytes())
    digest.update(repr((tool.package, flags(tool), ENVIRONMENT, tool.carries)).encode())
    return f"{version(tool)}-{digest.hexdigest()[:12]}"


def folder(name: str) -> Path:
    tool = TOOLS_BY_NAME[name]
    return cache_root() / "bin" / f"{name}-{key(tool)}"


def path(name: str) -> Path:
    """Where the binary lies (or will)."""
    return folder(name) / name


def ensure(names: Iterable[str], steps: Steps) -> None:
    """Build what is missing."""
    for name in names:
        if not path(name).is_file():
            with locked(f"build-{TOOLS_BY_NAME[name].folder}"):
                _build(TOOLS_BY_NAME[name], steps)


def _build(tool: Tool, steps: Steps) -> None:
    target = folder(tool.name)
    if (target / tool.name).is_file():
        return
    if shutil.which("go") is None:
        raise ClusterError("Go is not on PATH: install Go 1.25 or newer (https://go.dev/dl)")
    draft = target.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    log = cache_root() / "logs" / f"build-{tool.name}.log"
    source = TOOLS / tool.folder
    with steps.step(f"build {tool.name} {version(tool)} (once)", log):
        argv: list[str | Path] = ["go", "build", *flags(tool), "-o", draft / tool.name, tool.package]
        command.logged(argv, log, environment=ENVIRONMENT, directory=source)
        if tool.carries:
            module = command.output(["go", "list", "-m", "-f", "{{.Dir}}", tool.module], directory=source).strip()
            shutil.copytree(Path(module) / tool.carries, draft / tool.carries, copy_function=shutil.copyfile)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
