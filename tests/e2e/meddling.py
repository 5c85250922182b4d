"""A proxy before a gateway that meddles with the live stream: requests in, answers out. Passes on everything else."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import httpx

from tests.servers import plain_http

Drop = Callable[[str, int], bool]
"""A device and which of its changes this is, from 1: whether it is dropped."""
_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "content-encoding", "host"}


class Meddler(ThreadingHTTPServer):
    """Drops changes of devices, and cuts the line once after so many events (0: never)."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, url: str, *, drop: Drop = lambda *_: False, cut_after: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client = plain_http.Client(base_url=url, timeout=30)
        self.drop = drop
        self.cut_after = cut_after
        self.dropped: Counter[str] = Counter()
        self.last_ids: list[str] = []
        """What each connection to the stream wanted to go on after."""
        self.changes: Counter[str] = Counter()
        """How many changes of each device came by, dropped or not."""
        self._lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def without_dropped(self, event: str) -> str:
        """Return an event without what is dropped."""
        lines = event.split("\n")
        for at, line in enumerate(lines):
            if line.startswith('data: {"changes"'):
                data = json.loads(line.removeprefix("data: "))
                data["changes"] = [change for change in data["changes"] if not self._is_dropped(change)]
                lines[at] = f"data: {json.dumps(data)}"
        return "\n".join(lines)

    def _is_dropped(self, change: dict[str, Any]) -> bool:
        with self._lock:
            device = change["device"]
            self.changes[device] += 1
            found = self.drop(device, self.changes[device])
            self.dropped[device] += found
            return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Meddler

    def do_GET(self) -> None:
        if self.path.startswith("/v1/stream"):
            self._stream()
        else:
            self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        got = self.server.client.request(self.command, self.path, content=body, headers=self._asked())
        self.send_response(got.status_code)
        for name, value in got.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(got.content)))
        self.end_headers()
        self.wfile.write(got.content)

    def _stream(self) -> None:
        self.server.last_ids.append(self.headers.get("Last-Event-ID", ""))
        self.close_connection = True
        with self.server.client.stream("GET", self.path, headers=self._asked()) as got:
            self.send_response(got.status_code)
            self.send_header("Connection", "close")
            self.end_headers()
            for event in _events(got):
                self.wfile.write(self.server.without_dropped(event).encode() + b"\n\n")
                if self.server.cut_after and event.startswith("event: change"):
                    self.server.cut_after -= 1
                    if not self.server.cut_after:
                        return

    def _asked(self) -> dict[str, str]:
        passed = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        encoding = self.headers.get("Content-Encoding")
        return passed | ({"Content-Encoding": encoding} if encoding else {})

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _events(got: httpx.Response) -> Iterator[str]:
    text = ""
    for piece in got.iter_text():
        *events, text = (text + piece).split("\n\n")
        yield from events


@contextmanager
def meddling(url: str, **how: Any) -> Iterator[Meddler]:
    """Serve one in a thread of its own."""
    with Meddler(url, **how) as meddler:
        thread = Thread(target=meddler.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield meddler
        finally:
            meddler.shutdown()
            thread.join(10)
            meddler.client.close()
