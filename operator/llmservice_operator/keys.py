"""API keys and their digests: pure functions of the pepper (docs/decisions/0001)."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from llmservice_api.names import KEY_PREFIX, PROBE_KEY_ID


@dataclass(frozen=True)
class Key:
    """A key as its owner sees it, and what is kept of it. `repr` shows no secret."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Key(id={self.id!r})"

    @property
    def text(self) -> str:
        """`<prefix>_<id>.<secret>`"""
        return f"{KEY_PREFIX}_{self.id}.{self.secret}"


def make_key(id_entropy: bytes, secret_entropy: bytes) -> Key:
    """A key from 8 and 32 random bytes."""
    if len(id_entropy) != 8 or len(secret_entropy) != 32:
        raise ValueError("a key takes 8 random bytes for its id and 32 for its secret")
    return Key(id_entropy.hex(), _base64url(secret_entropy))


def digest(pepper: bytes, key: Key) -> str:
    """HMAC-SHA256 of the whole key, lower-case hex."""
    return hmac.new(pepper, key.text.encode(), hashlib.sha256).hexdigest()


def probe_key(pepper: bytes) -> Key:
    """The operator's own key, which the gateway derives as well."""
    return Key(PROBE_KEY_ID, _base64url(hmac.new(pepper, PROBE_KEY_ID.encode(), hashlib.sha256).digest()))


def pepper_from(text: str) -> bytes:
    """The pepper from its base64 text; ValueError where it is not 32 bytes."""
    pepper = base64.b64decode(text.strip(), validate=True)
    if len(pepper) != 32:
        raise ValueError(f"the pepper is {len(pepper)} bytes long, 32 are wanted")
    return pepper


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
