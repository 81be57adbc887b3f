"""A TCP relay between a client and a real server: it counts, holds back, cuts off and corrupts what the server says."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Relay:
    """`held`: set once the server has said `hold_after` bytes on one connection, which then waits for `release`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server((target[0], 0))
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.served = 0
        self.hold_after: int | None = None
        self.cut_after: int | None = None
        self.flip_at: int | None = None
        self.held = threading.Event()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://{self._target[0]}:{self.port}"

    def accept(self) -> None:
        """Serve connections until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def close(self) -> None:
        """No more connections; held ones go on."""
        self.release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._target) as server:
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            try:
                self._answers(server, client)
            finally:
                client.shutdown(socket.SHUT_RDWR)  # closing alone waits for the other direction's thread

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        said = 0
        while chunk := server.recv(65536):
            if self.hold_after is not None and said >= self.hold_after:
                self.held.set()
                self.release.wait()
            if self.cut_after is not None and said >= self.cut_after:
                self.cut_after = None
                return
            client.sendall(self._flipped(chunk, said))
            said += len(chunk)
            with self._lock:
                self.served += len(chunk)

    def _flipped(self, chunk: bytes, said: int) -> bytes:
        if self.flip_at is None or not said <= self.flip_at < said + len(chunk):
            return chunk
        at = self.flip_at - said
        return chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relayed(host: str, port: int) -> Iterator[Relay]:
    """A relay to a server on this machine while the body runs."""
    relay = Relay((host, port))
    thread = threading.Thread(target=relay.accept, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.close()
        thread.join()
