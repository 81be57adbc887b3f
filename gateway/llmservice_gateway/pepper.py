"""The pepper and the digests made with it."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from llmservice_api.names import KEY_PREFIX, PROBE_KEY_ID
from llmservice_gateway.settings import SettingsError

_LENGTH: Final = 32


@dataclass(frozen=True)
class Pepper:
    """The secret of all digests; `base64` is the text that HAProxy takes. Never printed."""

    base64: str = field(repr=False)

    @property
    def raw(self) -> bytes:
        """The 32 bytes."""
        return base64.b64decode(self.base64)

    def digest(self, key: str) -> str:
        """hex(HMAC-SHA256(pepper, key)), lower case."""
        return hmac.new(self.raw, key.encode(), hashlib.sha256).hexdigest()

    def probe_key(self) -> str:
        """The key with which the operator proves a route; derived, never stored."""
        mac = hmac.new(self.raw, PROBE_KEY_ID.encode(), hashlib.sha256).digest()
        return f"{KEY_PREFIX}_{PROBE_KEY_ID}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def read(path: Path) -> Pepper:
    """The pepper in a mounted file (base64 text of 32 bytes); raises SettingsError where it is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
        raw = base64.b64decode(text, validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise SettingsError(f"the pepper in {path} cannot be read: {error}") from error
    if len(raw) != _LENGTH:
        raise SettingsError(f"the pepper in {path} must be {_LENGTH} bytes in base64, not {len(raw)}")
    return Pepper(text)
