"""What KubeRay and Ray do for a RayService, without a pod: after a fixed delay its application runs.

The operator sees Ray only through this status, so nothing else of the dashboard or of Serve's REST is needed.
"""

import asyncio
import json
from typing import Any, Final

import aiohttp

from hack.cluster.api import Api

Json = dict[str, Any]

NEVER_UP: Final = "org/never-up"
"""A model whose engine never comes up."""
_PATH: Final = "/apis/ray.io/v1/rayservices"
_LINE_MAX: Final = 4 * 1024 * 1024
_ASK_AGAIN_S: Final = 0.5
RUNNING: Final[Json] = {
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Up",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
    "activeServiceStatus": {"applicationStatuses": {"llm": {"status": "RUNNING"}}},
}


class RayStandIn:
    """Brings every RayService up, `delay` seconds after it is first seen. `raised`: how many."""

    def __init__(self, api: Api, delay: float = 0.0, at_once: int = 16) -> None:
        self._server = api.server
        self._tls = api._context
        self._delay = delay
        self._turn = asyncio.Semaphore(at_once)
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.raised = 0

    async def run(self) -> None:
        """Until cancelled; what a watch that ended missed is found by the list before the next."""
        connector = aiohttp.TCPConnector(ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_LINE_MAX) as session:
            while True:
                async with session.get(self._server + _PATH) as answer:
                    if answer.status != 200:  # somebody has deleted the kind, or it is coming back
                        await asyncio.sleep(_ASK_AGAIN_S)
                        continue
                    listed = await answer.json()
                for item in listed["items"]:
                    self._notice(session, item)
                await self._watch(session, listed["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession, version: str) -> None:
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3600"}
        async with session.get(self._server + _PATH, params=query) as answer:
            if answer.status != 200:
                return
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    self._seen.discard(event["object"]["metadata"]["uid"])
                else:
                    self._notice(session, event["object"])

    def _notice(self, session: aiohttp.ClientSession, obj: Json) -> None:
        uid = obj["metadata"]["uid"]
        is_up = bool((obj.get("status") or {}).get("conditions"))
        if uid in self._seen or is_up or NEVER_UP in obj["spec"]["serveConfigV2"]:
            return
        self._seen.add(uid)
        task = asyncio.get_running_loop().create_task(self._raise(session, obj["metadata"]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _raise(self, session: aiohttp.ClientSession, metadata: Json) -> None:
        await asyncio.sleep(self._delay)
        path = f"/apis/ray.io/v1/namespaces/{metadata['namespace']}/rayservices/{metadata['name']}/status"
        headers = {"Content-Type": "application/merge-patch+json"}
        body = json.dumps({"metadata": {"uid": metadata["uid"]}, "status": RUNNING})
        async with self._turn, session.patch(self._server + path, data=body, headers=headers) as answer:
            assert answer.status in (200, 404, 409), await answer.text()  # gone, or another of that name
            self.raised += answer.status == 200
