"""containerd: its configuration, and what hack/ asks it with ctr."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import command
from hack.cluster.cache import cache_root
from hack.cluster.machine import CNI_PLUGINS

NAMESPACE = "k8s.io"


@dataclass(frozen=True)
class Containerd:
    """One containerd: images in the cache, all else under `state`."""

    state: Path

    @property
    def socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def root(self) -> Path:
        """Content and snapshots; survives the cluster, so that images are imported once."""
        return cache_root() / "containerd"

    @property
    def config_file(self) -> Path:
        return self.state / "containerd.toml"

    def serves(self) -> bool:
        return self.socket.exists() and command.succeeds(self.words("version"))

    def images(self) -> dict[str, str]:
        """Reference → digest of what can be run."""
        lines = self.ctr("images", "ls").splitlines()[1:]
        return {words[0]: words[2] for words in (line.split() for line in lines)}

    def used_images(self) -> set[str]:
        """References of which a container exists."""
        lines = self.ctr("containers", "ls").splitlines()[1:]
        return {line.split()[1] for line in lines}

    def load(self, archive: Path) -> None:
        """Import and unpack an OCI archive under the names it carries."""
        self.ctr("images", "import", str(archive))

    def remove_images(self, references: Iterable[str]) -> None:
        """Remove images under all their names (the CRI plugin adds the digest as one)."""
        names = self.images()
        digests = {names[reference] for reference in references}
        doomed = [name for name, digest in names.items() if digest in digests]
        if doomed:
            self.ctr("images", "rm", "--sync", *doomed)

    def purge_containers(self) -> None:
        """Remove every container that an ended cluster left."""
        for name in self.ctr("tasks", "ls", "-q").split():
            command.succeeds(self.words("tasks", "kill", "-s", "SIGKILL", "-a", name))
            command.succeeds(self.words("tasks", "delete", "-f", name))
        names = self.ctr("containers", "ls", "-q").split()
        if names:
            self.ctr("containers", "delete", *names)

    def ctr(self, *words: str) -> str:
        return command.output(self.words(*words))

    def words(self, *words: str) -> list[str]:
        return ["ctr", "--address", str(self.socket), "--namespace", NAMESPACE, *words]

    def config(self, sandbox_image: str) -> str:
        """The configuration file. `restrict_oom_score_adj`: without CAP_SYS_RESOURCE no score can be lowered."""
        return f"""version = 2
root = "{self.root}"
state = "{self.state}/run"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{self.socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{self.state}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{self.state}/cni"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{self.state}/runc"
"""
