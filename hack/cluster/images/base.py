"""Debian as a base image, made by debootstrap where no registry is."""

from pathlib import Path

from hack.cluster import command
from hack.cluster.cache import cache_root
from hack.cluster.images import buildah
from hack.cluster.progress import Steps

SUITE = "bookworm"
RECIPE = "1"
"""Counts up when the steps below change."""
KEY = f"{SUITE}-minbase-{RECIPE}"
REFERENCE = f"docker.io/llmservice/debian:{KEY}"
PUBLIC = "debian:12-slim"
DPKG = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/info/*
"""
APT = """\
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
"""


def ensure(steps: Steps) -> str:
    """The base's reference, made when it is not there yet."""
    if not buildah.has(REFERENCE):
        log = cache_root() / "logs" / "base.log"
        with steps.step(f"make the base image from Debian {SUITE} (once)", log):
            _make(log)
    return REFERENCE


def _make(log: Path) -> None:
    with buildah.container("scratch") as name:
        root = Path(command.output(buildah.words("mount", name)).strip())
        mirrors = sources()
        # Without a mirror debootstrap takes its own default, and writes it into the new root.
        command.logged(
            ["debootstrap", "--variant=minbase", SUITE, root, *(line.split()[1] for line in mirrors[:1])], log
        )
        if mirrors:
            (root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in mirrors))
        (root / "etc/dpkg/dpkg.cfg.d/llmservice").write_text(DPKG)
        (root / "etc/apt/apt.conf.d/llmservice").write_text(APT)
        _trim(root, log)
        command.output(buildah.words("umount", name))
        command.output(
            buildah.words("config", "--cmd", "bash", "--env", "PATH=/usr/local/bin:/usr/bin:/bin:/sbin", name)
        )
        command.logged(buildah.words("commit", name, REFERENCE), log)


def sources() -> list[str]:
    """This machine's own lines for the suite, so that a build reaches what it reaches; none on another suite."""
    argv = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    if not command.succeeds(argv):
        return []
    found = sorted({line for line in command.output(argv).splitlines() if line.split()[1].startswith(SUITE)})
    lines = [f"deb {line}" for line in found if line.endswith(" main")]
    return sorted(lines, key=lambda line: line.split()[2])


def _trim(root: Path, log: Path) -> None:
    """Delete what a running container never reads."""
    doomed = [
        "var/lib/apt/lists",
        "var/cache/apt",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/info",
    ]
    command.logged(["rm", "-rf", *(root / folder for folder in doomed), root / "var/log/bootstrap.log"], log)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
