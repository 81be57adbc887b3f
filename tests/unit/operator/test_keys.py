"""Keys and their digests."""

import base64
import hashlib
import hmac

import pytest

from llmservice_operator.apikeys import new_key
from llmservice_operator.keys import digest, make_key, pepper_from, probe_key

PEPPER = bytes(range(32))
PEPPER_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_the_form_of_a_key_and_its_digest_as_the_gateway_computes_it() -> None:
    key = make_key(bytes(8), bytes([255] * 32))
    assert key.text == "llms_0000000000000000." + "_" * 42 + "8"
    assert digest(PEPPER, key) == hmac.new(PEPPER, key.text.encode(), hashlib.sha256).hexdigest()
    assert digest(PEPPER, key) == "31df18cf876e5085fcbed78fad39f9b239ffb5d84d4160b81e4e69e7753253a0"


def test_a_keys_secret_has_43_characters_and_is_not_shown() -> None:
    key = make_key(b"12345678", b"s" * 32)
    assert len(key.secret) == 43
    assert key.secret not in f"{key!r} {key}"
    assert repr(key) == "Key(id='3132333435363738')"


@pytest.mark.parametrize(("left", "right"), [(7, 32), (8, 31), (0, 0)])
def test_too_little_chance_is_refused(left: int, right: int) -> None:
    with pytest.raises(ValueError, match="8 random bytes"):
        make_key(bytes(left), bytes(right))


def test_new_keys_differ() -> None:
    assert len({new_key().text for _ in range(100)}) == 100


def test_the_probe_key_is_the_same_on_both_sides() -> None:
    expected = base64.urlsafe_b64encode(hmac.new(PEPPER, b"probe", hashlib.sha256).digest()).decode().rstrip("=")
    assert probe_key(PEPPER).text == f"llms_probe.{expected}"
    assert probe_key(PEPPER) == probe_key(PEPPER)
    assert probe_key(bytes(32)) != probe_key(PEPPER)


@pytest.mark.parametrize("text", [PEPPER_TEXT, f"{PEPPER_TEXT}\n", f"  {PEPPER_TEXT}  "])
def test_the_pepper_is_base64_text(text: str) -> None:
    assert pepper_from(text) == PEPPER


@pytest.mark.parametrize("text", ["", "AAEC", "not base64!", base64.b64encode(bytes(33)).decode()])
def test_a_bad_pepper_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        pepper_from(text)
