"""A connection that breaks in the middle: a proxy on this machine that cuts what passes through it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class CuttingProxy:
    """Forwards to a local port; the first `times` connections are cut after so many bytes sent, login apart."""

    LOGIN_BYTES = 300

    def __init__(self, target: int, sent_bytes: int, times: int) -> None:
        self._target, self._limit, self._times = target, sent_bytes + self.LOGIN_BYTES, times
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            limit = self._limit if self.cuts < self._times else None
            threading.Thread(target=self._pass, args=(near, far, limit), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, None), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while block := source.recv(4096):
                if limit is not None and passed + len(block) > limit:
                    sink.sendall(block[: limit - passed])
                    self.cuts += 1
                    break
                sink.sendall(block)
                passed += len(block)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
            end.close()
