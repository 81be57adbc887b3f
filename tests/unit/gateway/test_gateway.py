"""The agent's place beside HAProxy: it gives way, and takes nothing back."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmservice_gateway.gateway import give_way

MOST = 19


@pytest.mark.parametrize(("asked", "more"), [((3,), 3), ((3, 1), 3), ((0,), 0), ((1, 3), 3)])
def test_niceness_only_grows(asked: tuple[int, ...], more: int) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)

    def of_a_thread() -> int:
        for each in asked:
            give_way(before + each)
        return os.getpriority(os.PRIO_PROCESS, 0)

    with ThreadPoolExecutor(1) as thread:  # each thread has its own, which cannot be taken back
        assert thread.submit(of_a_thread).result() == min(before + more, MOST)
