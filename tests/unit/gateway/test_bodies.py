"""How much memory bodies may take: all of them, those of one key, and small ones beside large ones."""

import pytest

from llmservice_gateway.bodies import Rooms, rooms
from llmservice_gateway.errors import BODIES_FULL, Refused

LARGE, SMALL = 200, 10


def filled(room: Rooms, *bodies: tuple[str, int]) -> list[bool]:
    """Of bodies that come one after the other and stay, in pieces, which found room."""
    found = []
    for owner, size in bodies:
        place = room.place(owner)
        try:
            for piece in (size // 2, size - size // 2):
                place.grow(piece)
            found.append(True)
        except Refused as refused:
            place.leave()
            found.append(refused.error is not BODIES_FULL)
    return found


BODIES = {
    "a key has a quarter, and others theirs": (
        [("a", 200), ("a", 50), ("a", 11), ("b", 200), ("", 250), ("", 11), ("b", 50)],
        [True, True, False, True, True, False, True],
    ),
    "all together have the whole": (
        [*((owner, 200) for owner in "abcde"), ("f", 11)],
        [*[True] * 5, False],
    ),
    "large ones keep no small one out, and small ones no large one": (
        [("a", 200), ("a", 50), ("a", 10), *((owner, 200) for owner in "bcd"), ("e", 150), ("f", 10), ("f", 11)],
        [*[True] * 8, False],
    ),
    "of small ones too a key has a quarter": (
        [*(("a", 10) for _ in range(7)), ("b", 10), ("a", 200)],
        [*[True] * 6, False, True, True],
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_no_key_takes_the_room_of_others(name: str) -> None:
    bodies, found = BODIES[name]
    assert filled(rooms(1000, LARGE, SMALL), *bodies) == found


def test_one_body_of_the_largest_size_has_room_for_every_key() -> None:
    assert filled(rooms(200, LARGE, SMALL), ("a", 200), ("a", 11)) == [True, False]


def test_a_body_that_grows_large_leaves_the_small_ones_room() -> None:
    small = rooms(160, LARGE, SMALL)
    for _ in range(20):
        place = small.place("a")
        for _ in range(4):
            place.grow(5)
        place.leave()
        place.leave()
    assert filled(small, *(("a", 10),) * 5) == [True, False, False, False, False]
