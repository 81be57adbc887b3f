"""What the ledger asks of the cluster and writes there: whose tokens are, Budgets' status, Events."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import urllib3
from kubernetes import client

from llmservice_api.names import API_VERSION, GROUP, LEDGER_AUDIENCE, VERSION
from llmservice_gateway.kube import one_line
from llmservice_gateway.ledger.identity import IdentitiesUnknown, Identity, of_username
from llmservice_gateway.ledger.records import Budget

MANAGER: Final = "llmservice-ledger"
_TIMEOUT: Final = (5.0, 10.0)
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404
_FAILURES: Final = (client.ApiException, urllib3.exceptions.HTTPError, OSError)


class ClusterFailed(Exception):
    """The cluster refused a write or did not answer; the message says which."""


class TokenReviews:
    """Asks the cluster whose a token is; `api` is the client's for objects of any kind."""

    def __init__(self, api: Any) -> None:
        self._api = api

    async def of(self, token: str) -> Identity | None:
        """Whose token it is, None where it is no valid one for this audience; raises IdentitiesUnknown."""
        body: Any = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [LEDGER_AUDIENCE]},
        }
        try:
            review = await asyncio.to_thread(
                self._api.create_cluster_custom_object,
                *("authentication.k8s.io", "v1", "tokenreviews", body),
                _request_timeout=_TIMEOUT,
            )
        except _FAILURES as error:
            raise IdentitiesUnknown(one_line(error)) from error
        return reviewed(review.get("status") or {})


def reviewed(status: Mapping[str, Any]) -> Identity | None:
    """The ServiceAccount that a TokenReview's status names, None where the token is not one for this audience."""
    if not status.get("authenticated") or LEDGER_AUDIENCE not in (status.get("audiences") or []):
        return None
    return of_username(str((status.get("user") or {}).get("username", "")))


class BudgetWriter:
    """Writes what the ledger says of Budgets."""

    def __init__(self, api: Any) -> None:
        self._api = api

    async def write_status(self, budget: Budget, status: Mapping[str, Any]) -> None:
        """Applies the status; nothing where the Budget is gone. Raises ClusterFailed."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "Budget",
            "metadata": {"name": budget.name, "namespace": budget.namespace, "uid": budget.uid},
            "status": status,
        }
        await self._call(
            self._api.patch_namespaced_custom_object_status,
            *(GROUP, VERSION, budget.namespace, "budgets", budget.name, body),
            allowed=(_NOT_FOUND, _CONFLICT),
            field_manager=MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    async def write_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Creates an Event, unless it is there. Raises ClusterFailed."""
        await self._call(
            self._api.create_namespaced_custom_object,
            *("events.k8s.io", "v1", namespace, "events", event),
            allowed=(_NOT_FOUND, _CONFLICT),
        )

    async def _call(self, call: Any, *given: Any, allowed: tuple[int, ...], **named: Any) -> None:
        try:
            await asyncio.to_thread(call, *given, _request_timeout=_TIMEOUT, **named)
        except _FAILURES as error:
            if getattr(error, "status", None) not in allowed:
                raise ClusterFailed(one_line(error)) from error
