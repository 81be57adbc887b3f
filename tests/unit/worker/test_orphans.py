"""Processes that a fork server made end with the process that it served."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_REPLICA = """
import multiprocessing, signal

def engine(ready):
    ready.set()
    signal.pause()

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    multiprocessing.set_forkserver_preload({preloaded!r})
    ready = context.Event()
    process = context.Process(target=engine, args=(ready,))
    process.start()
    ready.wait()
    print(process.pid, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize(("preloaded", "ends"), [(["llmservice_worker.orphans"], True), ([], False)])
def test_an_engine_ends_with_a_killed_replica(tmp_path: Path, preloaded: list[str], ends: bool) -> None:
    script = tmp_path / "replica.py"
    script.write_text(_REPLICA.format(preloaded=preloaded))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as replica:
        assert replica.stdout is not None
        pid = int(replica.stdout.readline())
        engine = os.pidfd_open(pid)
        replica.kill()
    try:
        assert bool(select.select([engine], [], [], 30 if ends else 1)[0]) is ends
        if not ends:
            signal.pidfd_send_signal(engine, signal.SIGKILL)
    finally:
        os.close(engine)
