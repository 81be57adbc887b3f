"""What an Admin key may see."""

import pytest

from llmservice_gateway.organization import scope


@pytest.mark.parametrize(
    ("namespace", "seen"), [("team-a", "team-a"), ("llmservice-system", "*"), ("llmservice", "llmservice")]
)
def test_keys_of_the_release_see_all_and_others_their_namespace(namespace: str, seen: str) -> None:
    assert scope(namespace, "llmservice-system") == seen
