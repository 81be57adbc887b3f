"""A pod that is to go first finishes what it has begun."""

import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmservice_worker.drain import (
    Work,
    engine_requests,
    leave_command,
    look,
    old_proxies,
    proxied_requests,
    unsent_bytes,
    wait_until_quiet,
    wait_until_sent,
)

IDLE = Work(engine=0, proxied=0, old_proxies=0)
STAT = """# pxname,svname,qcur,qmax,scur,smax
http_frontend,FRONTEND,,,7,9
llm,SERVE_REPLICA_a,0,0,2,3
llm,SERVE_REPLICA_b,0,0,1,3
llm,BACKEND,0,0,3,3
stats,FRONTEND,,,1,1

"""
METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_preemptions_total{engine="0"} 9.0
"""


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def waited(busy: list[tuple[float, float]], most_s: float) -> tuple[bool, float]:
    """The outcome and the seconds of a wait beside work from, until (seconds after its begin)."""
    time = Time()

    def seen() -> Work:
        passed = time.now - 100
        return Work(engine=sum(start <= passed < end for start, end in busy), proxied=0, old_proxies=0)

    return wait_until_quiet(seen, time.clock, time.sleep, most_s), time.now - 100


@pytest.mark.parametrize(
    ("busy", "most_s", "drained", "took"),
    [
        ([], 60, True, 3),
        ([(0, 10)], 60, True, 12.5),
        ([(0, 10), (11, 12)], 60, True, 14.5),
        ([(2, 4)], 60, True, 6.5),
        ([(0, 100)], 60, False, 60),
        ([], 0, False, 0),
    ],
    ids=["nothing runs", "a stream ends", "a late one comes", "one comes in the quiet", "too long", "no time at all"],
)
def test_it_waits_until_nothing_has_run_for_a_moment(
    busy: list[tuple[float, float]], most_s: float, drained: bool, took: float
) -> None:
    assert waited(busy, most_s) == (drained, took)


@pytest.mark.parametrize("work", [Work(1, 0, 0), Work(0, 1, 0), Work(0, 0, 1)])
def test_any_work_keeps_the_pod(work: Work) -> None:
    assert not work.is_nothing
    assert IDLE.is_nothing


def test_requests_of_the_engine_run_or_wait() -> None:
    assert engine_requests(METRICS) == 3
    assert engine_requests("") == 0


def test_requests_of_the_proxy_are_those_at_its_servers() -> None:
    assert proxied_requests(STAT) == 3
    assert proxied_requests("") == 0


@pytest.mark.parametrize(("count", "old"), [(0, 0), (1, 0), (3, 2)])
def test_all_but_one_proxy_only_end_their_streams(count: int, old: int) -> None:
    commands = [["/opt/bin/haproxy", "-db"]] * count + [["python", "haproxy"], []]
    assert old_proxies(commands) == old


@contextmanager
def admin_socket(node: str, answer: str) -> Iterator[Path]:
    """A folder with HAProxy's socket in the folder of a node."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            assert self.rfile.readline() == b"show stat\n"
            self.wfile.write(answer.encode())

    # Not pytest's folder: a socket's path may have 107 characters only.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / node / "admin.sock"
        path.parent.mkdir()
        with socketserver.UnixStreamServer(str(path), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield Path(folder)
            server.shutdown()
            thread.join()


def test_a_look_asks_the_proxy_and_sees_processes(tmp_path: Path) -> None:
    for process in ("1", "2"):
        (tmp_path / process).mkdir()
        (tmp_path / process / "cmdline").write_bytes(b"/usr/bin/haproxy\0-db\0")
    with admin_socket("abc", STAT) as folder:
        assert look(folder, tmp_path, "http://127.0.0.1:9/metrics") == Work(engine=0, proxied=3, old_proxies=1)


def test_where_nothing_answers_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "admin.sock").touch()
    assert look(tmp_path, tmp_path, "http://127.0.0.1:9/metrics") == IDLE


def test_ray_is_told_of_the_node_whose_proxy_is_here(tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "admin.sock").touch()
    command = leave_command(tmp_path, {"RAY_ADDRESS": "head:6379"}, 60.0)
    assert command is not None
    pairs = dict(zip(command[2::2], command[3::2], strict=True))
    assert command[:2] == ["ray", "drain-node"]
    assert pairs["--address"] == "head:6379"
    assert pairs["--node-id"] == "abc"
    assert pairs["--deadline-remaining-seconds"] == "60"


@pytest.mark.parametrize("environment", [{}, {"RAY_ADDRESS": "head:6379"}])
def test_without_a_proxy_or_a_cluster_there_is_nobody_to_tell(tmp_path: Path, environment: dict[str, str]) -> None:
    assert leave_command(tmp_path, environment, 60.0) is None


@pytest.mark.parametrize(("sent_after", "done", "waited_s"), [(0, True, 0), (4, True, 4), (99, False, 10)])
def test_a_pod_waits_a_moment_for_its_usage_to_be_sent(sent_after: float, done: bool, waited_s: float) -> None:
    time = Time()
    assert wait_until_sent(lambda: time.now - 100 < sent_after, time.clock, time.sleep, 10) == done
    assert time.now - 100 == waited_s


@pytest.mark.parametrize(
    ("metrics", "unsent"),
    [
        ("", 0),
        (METRICS, 0),
        ("# TYPE llmservice_usage_spool_bytes gauge\nllmservice_usage_spool_bytes 0.0\n", 0),
        (METRICS + "llmservice_usage_spool_bytes 1.5e+06\n", 1_500_000),
    ],
)
def test_usage_that_is_not_sent_is_read_from_the_metrics(metrics: str, unsent: float) -> None:
    assert unsent_bytes(metrics) == unsent
