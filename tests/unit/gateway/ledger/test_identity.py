"""Whose tokens are: asked of the cluster once, for a while."""

import pytest

from llmservice_gateway.ledger.cluster import reviewed
from llmservice_gateway.ledger.identity import IdentitiesUnknown, Identity, Remembered, of_username

WORKER = Identity("team-a", "default")


class Asked:
    """Knows the token `good`; counts."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.away = False

    async def of(self, token: str) -> Identity | None:
        self.tokens.append(token)
        if self.away:
            raise IdentitiesUnknown("away")
        return WORKER if token == "good" else None


@pytest.mark.parametrize(("token", "remembered"), [("good", 60), ("bad", 10)])
async def test_a_token_is_asked_for_once_a_while(token: str, remembered: float) -> None:
    asked, now = Asked(), [1000.0]
    identities = Remembered(asked, lambda: now[0])
    first = await identities.of(token)
    now[0] += remembered - 0.1
    assert await identities.of(token) == first
    assert asked.tokens == [token]
    now[0] += 0.2
    assert await identities.of(token) == first == (WORKER if token == "good" else None)
    assert asked.tokens == [token, token]


async def test_that_the_cluster_is_away_is_not_remembered() -> None:
    asked = Asked()
    asked.away = True
    identities = Remembered(asked, lambda: 0.0)
    with pytest.raises(IdentitiesUnknown):
        await identities.of("good")
    asked.away = False
    assert await identities.of("good") == WORKER


async def test_no_more_tokens_are_remembered_than_there_is_room_for() -> None:
    asked = Asked()
    identities = Remembered(asked, lambda: 0.0)
    for number in range(5000):
        await identities.of(str(number))
    await identities.of("4999")
    assert len(asked.tokens) == 5000
    await identities.of("0")
    assert len(asked.tokens) == 5001


@pytest.mark.parametrize(
    ("username", "identity"),
    [
        ("system:serviceaccount:team-a:default", WORKER),
        ("system:serviceaccount:team-a", None),
        ("system:node:team-a:default", None),
        ("admin", None),
        ("", None),
    ],
)
def test_only_service_accounts_are_anybody(username: str, identity: Identity | None) -> None:
    assert of_username(username) == identity


USER = {"user": {"username": "system:serviceaccount:team-a:default"}}


@pytest.mark.parametrize(
    ("status", "identity"),
    [
        ({"authenticated": True, "audiences": ["llmservice-ledger"], **USER}, WORKER),
        ({"authenticated": True, "audiences": ["https://kubernetes.default.svc"], **USER}, None),
        ({"authenticated": True, **USER}, None),
        ({"authenticated": False, "audiences": ["llmservice-ledger"], **USER}, None),
        ({"authenticated": True, "audiences": ["llmservice-ledger"]}, None),
        ({}, None),
    ],
)
def test_a_token_for_another_audience_is_none(status: dict[str, object], identity: Identity | None) -> None:
    assert reviewed(status) == identity
