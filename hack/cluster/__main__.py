"""The command line: `python -m hack.cluster up | down | status | kubeconfig | images …`."""

import argparse
import shutil
import sys
from pathlib import Path

from hack.cluster import full
from hack.cluster.cache import BUILD, state_root
from hack.cluster.control_plane import ControlPlane, remove
from hack.cluster.failure import ClusterError, tail
from hack.cluster.progress import Steps


def main(words: list[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    steps = Steps()
    try:
        return _run(arguments, steps)
    except ClusterError as error:
        if error.log and (last := tail(error.log)):
            steps.say(f"[dim]── last lines of {error.log}[/dim]")
            print(last, file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace, steps: Steps) -> int:
    if arguments.verb == "images":
        return _images(arguments, steps)
    if arguments.verb == "kubeconfig":
        print(kubeconfig_of(arguments.name))
        return 0
    if arguments.name or getattr(arguments, "control_plane_only", False):
        return _control_plane(arguments, steps)
    if arguments.verb == "up":
        steps.say(f"export KUBECONFIG={full.up(steps)}")
    elif arguments.verb == "down":
        full.down(steps)
    else:
        return _print_status(leftovers=arguments.leftovers)
    return 0


def _control_plane(arguments: argparse.Namespace, steps: Steps) -> int:
    name = arguments.name or "control-plane"
    directory = state_root() / "named" / name
    if arguments.verb == "down":
        remove(directory)
        kubeconfig_of(name).unlink(missing_ok=True)
        return 0
    cluster = ControlPlane(
        directory=directory,
        steps=steps,
        kwok=getattr(arguments, "kwok", False),
        kuberay=getattr(arguments, "kuberay", False),
    )
    if arguments.verb == "up" and not cluster.running:
        cluster.start()
        kubeconfig_of(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(cluster.kubeconfig, kubeconfig_of(name))
    print(f"export KUBECONFIG={kubeconfig_of(name)}" if cluster.running else f"{name}: down")
    return 0 if cluster.running else 1


def _print_status(*, leftovers: bool) -> int:
    found = full.leftovers() if leftovers else full.status()
    for line in found:
        print(line)
    if leftovers:
        return 1 if found else 0
    return 0 if full.running() else 1


def _images(arguments: argparse.Namespace, steps: Steps) -> int:
    from hack.cluster import images

    for name in arguments.names or images.OURS:
        print(images.ensure(name, steps) if arguments.action == "build" else images.load(name, steps))
    return 0


def kubeconfig_of(name: str | None) -> Path:
    """The kubeconfig that users take: the full cluster's, or that of a named control plane."""
    return BUILD / "kubeconfig" if name is None else BUILD / f"kubeconfig-{name}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hack.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", help="a control plane of this name, apart from the full cluster")
    up = verbs.add_parser("up", parents=[named], help="start, or find that it runs")
    up.add_argument("--control-plane-only", action="store_true", help="no nodes: API and controllers")
    up.add_argument("--kwok", action="store_true", help="with nodes that exist only in the API")
    up.add_argument("--kuberay", action="store_true", help="with the KubeRay operator")
    down = verbs.add_parser("down", parents=[named], help="stop and clean; the cache stays")
    down.add_argument("--control-plane-only", action="store_true")
    status = verbs.add_parser("status", parents=[named], help="what runs; status 1 when it is down")
    status.add_argument("--leftovers", action="store_true", help="what a cluster that is down left behind")
    verbs.add_parser("kubeconfig", parents=[named], help="print the kubeconfig's path")
    pictures = verbs.add_parser("images", help="build images, or load them into the cluster")
    pictures.add_argument("action", choices=["build", "load"])
    pictures.add_argument("names", nargs="*")
    return parser


if __name__ == "__main__":
    sys.exit(main())
