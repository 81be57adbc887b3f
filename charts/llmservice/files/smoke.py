"""What `helm test` runs inside the cluster: the gateway refuses without a key, and a model answers through it.

It runs in the gateway's image. The request goes the way of an application's, from the gateway's Service on; its key is
the operator's probe key, derived from the pepper, so that the test needs no APIKey.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from llmservice_gateway import pepper

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc/apis/llmservice.io/v1alpha1"
QUESTION = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}


def main() -> int:
    gateway, seconds = os.environ["GATEWAY_URL"], float(os.environ["TIMEOUT_SECONDS"])
    status, body = call(f"{gateway}/v1/models", seconds)
    print(f"GET /v1/models without a key: {status}")
    if status != 401:
        return failed(f"the gateway answers without a key: {body}")
    namespaces = [name for name in os.environ["WATCH_NAMESPACES"].split(",") if name]
    services = listed(namespaces, seconds)
    found = chosen(services, os.environ.get("LLMSERVICE", ""))
    if found is None:
        wanted = os.environ.get("LLMSERVICE", "")
        if wanted:
            look = f"kubectl describe llm -n {wanted.replace('/', ' ')}"
            return failed(f"LLMService {wanted} is not Ready, or generates no text: {look}")
        print(f"{len(services)} LLMServices, none that is Ready and generates text: nothing to complete.")
        print("Apply one and run `helm test` again.")
        return 0
    return complete(gateway, found, seconds)


def complete(gateway: str, service: dict[str, Any], seconds: float) -> int:
    """One real completion of the LLMService, on the URL with its name."""
    path = f"/{service['metadata']['namespace']}/{service['metadata']['name']}/v1/chat/completions"
    key = pepper.read(Path(os.environ["PEPPER_FILE"])).probe_key()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    question = {"model": service["status"]["model"]["name"], **QUESTION}
    status, body = call(gateway + path, seconds, headers, json.dumps(question).encode())
    print(f"POST {path}: {status}")
    if status != 200:
        return failed(body)
    answer = json.loads(body)
    text, tokens = answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"]
    if not text or tokens < 1:
        return failed(f"no token came: {body}")
    print(f"{question['model']} answers ({tokens} tokens): {text}")
    return 0


def chosen(services: list[dict[str, Any]], wanted: str) -> dict[str, Any] | None:
    """The Ready LLMService that is wanted (namespace/name), or the first; only such as generate text."""
    for service in services:
        name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        if ready(service) and generates(service) and wanted in ("", name):
            return service
    return None


def generates(service: dict[str, Any]) -> bool:
    return "Generate" in service["spec"]["model"].get("tasks", ["Generate"])


def ready(service: dict[str, Any]) -> bool:
    conditions = service.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def listed(namespaces: list[str], seconds: float) -> list[dict[str, Any]]:
    """All LLMServices of the watched namespaces; of the cluster where none is named."""
    headers = {"authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    found = []
    for place in [f"/namespaces/{name}" for name in namespaces] or [""]:
        status, body = call(f"{API}{place}/llmservices", seconds, headers)
        if status != 200:
            sys.exit(failed(f"LLMServices cannot be listed: {status} {body}"))
        found += json.loads(body)["items"]
    return found


def call(url: str, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, str]:
    """Status and body; a status of failure is an answer like any other."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")) if url.startswith("https") else None
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=seconds, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, f"{url}: {error}"


def failed(why: str) -> int:
    print(f"failed: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
