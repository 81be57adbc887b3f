"""Render manifests/install.yaml from the chart; `--check` fails on drift instead.

Run as `python -m hack.render [--check]`.
"""

import sys

from hack.cluster.cache import REPOSITORY
from hack.helm import CHART, NAMESPACE, RELEASE, helm

INSTALL = REPOSITORY / "manifests" / "install.yaml"
KUBERNETES = "1.34.4"
HEADER = f"""\
# Written by `make generate` from charts/llmservice; edits here are lost.
#
# llmservice without Helm. KubeRay 1.6 and an Ingress controller must be there already.
#
#   kubectl create namespace {NAMESPACE}
#   kubectl create secret generic llmservice-pepper --namespace {NAMESPACE} \\
#     --from-literal=pepper="$(head -c 32 /dev/urandom | base64)"
#   kubectl apply --server-side -f install.yaml
#
# The second line makes the secret that digests of API keys are made with. Run it once: `create` refuses to replace it,
# and another pepper would make every key that was issued invalid.
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def rendered() -> str:
    """The chart with its default values, as plain manifests: no random part, no test."""
    words = ("--skip-tests", f"--kube-version={KUBERNETES}", "--set=pepper.create=false")
    return HEADER + helm("template", RELEASE, str(CHART), *words)


def main(arguments: list[str]) -> int:
    """Write, or with `--check` say that the file differs and return 1."""
    text = rendered()
    if INSTALL.is_file() and INSTALL.read_text() == text:
        return 0
    name = INSTALL.relative_to(REPOSITORY)
    if "--check" in arguments:
        print(f"{name} is not what the chart says: run `make generate` and commit the result", file=sys.stderr)
        return 1
    INSTALL.write_text(text)
    print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
