"""Who may ask what: workers tell of their own namespace, gateways ask for everybody."""

import re
from typing import Final

from aiohttp import web

from llmservice_api.names import ADMIN_HEADER, EVERY_NAMESPACE, LEDGER_AUDIENCE
from llmservice_gateway.errors import ApiError
from llmservice_gateway.ledger.answers import Said
from llmservice_gateway.ledger.event import Event, Refused
from llmservice_gateway.ledger.identity import Identities, Identity

_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_UNAUTHENTICATED: Final = ApiError(
    401,
    "invalid_token",
    f"Send `Authorization: Bearer <token>` with a ServiceAccount token whose audience is {LEDGER_AUDIENCE}.",
    headers=(("www-authenticate", "Bearer"),),
)
_NOT_A_GATEWAY: Final = ApiError(403, "not_a_gateway", "Only gateways of this installation may ask this.")
_NO_SCOPE: Final = ApiError(403, "no_scope", f"The gateway did not say whose usage may be seen ({ADMIN_HEADER}).")


class Access:
    """Decides by the ServiceAccount of a request's token; `gateway` is that of the gateways."""

    def __init__(self, identities: Identities, gateway: Identity) -> None:
        self._identities = identities
        self._gateway = gateway

    async def anybody(self, request: web.Request) -> Identity:
        """Whose request it is; raises Said where it has no valid token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or not token.isascii():
            raise Said(_UNAUTHENTICATED)
        identity = await self._identities.of(token)
        if identity is None:
            raise Said(_UNAUTHENTICATED)
        return identity

    async def gateway(self, request: web.Request) -> None:
        """Raises Said unless a gateway asks."""
        if await self.anybody(request) != self._gateway:
            raise Said(_NOT_A_GATEWAY)

    async def scope(self, request: web.Request) -> str | None:
        """The namespace that the admin may see, None for all; raises Said unless a gateway says it."""
        await self.gateway(request)
        found = request.headers.getall(ADMIN_HEADER, [])
        if len(found) != 1 or not (found[0] == EVERY_NAMESPACE or _NAMESPACE.fullmatch(found[0])):
            raise Said(_NO_SCOPE)
        return None if found[0] == EVERY_NAMESPACE else found[0]


def in_own_namespace(events: list[Event], identity: Identity) -> None:
    """Raises Refused at the first event of another namespace than the sender's."""
    for index, event in enumerate(events):
        if event.namespace != identity.namespace:
            raise Refused(
                f"events[{index}].namespace: a token of namespace {identity.namespace} bills that namespace only",
                f"events[{index}].namespace",
                forbidden=True,
            )
