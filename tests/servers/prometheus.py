"""In: the trixie root, a configuration. Out: a running Prometheus and what it raises; and promtool."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.app.dev_servers.child_process import Child
from gateway.app.dev_servers.ports import free_port
from gateway.app.dev_servers.server import ChildServer
from tests.servers import plain_http
from tests.servers.folders import scratch
from tests.servers.trixie import Trixie

PATIENCE_SECS = 60


@dataclass(slots=True)
class Prometheus(ChildServer):
    """Debian's build as our child, on 127.0.0.1; ``config`` and what it names lie in ``folder``."""

    program: Path
    config: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv: list[str | Path] = [
            self.program,
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        child = Child("prometheus", argv, log=self.folder / "prometheus.log")
        child.start(self._is_ready)
        self._child = child

    def alerts(self) -> dict[str, str]:
        """Alert → `pending` or `firing`."""
        data = plain_http.get(f"{self.url}/api/v1/alerts", timeout=PATIENCE_SECS).json()["data"]
        return {alert["labels"]["alertname"]: alert["state"] for alert in data["alerts"]}

    def ask(self, expression: str) -> list[float]:
        """The present values of an expression."""
        reply = plain_http.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=PATIENCE_SECS)
        return [float(series["value"][1]) for series in reply.json()["data"]["result"]]

    def _is_ready(self) -> bool:
        try:
            return plain_http.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def trixie_prometheus(root: Trixie, files: dict[str, str]) -> Iterator[Prometheus]:
    """A Prometheus with these files, of which the first is its configuration."""
    with scratch(Path("/tmp")) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        config = folder / next(iter(files))
        with Prometheus(root.root / "usr/bin/prometheus", config, folder, free_port()) as server:
            yield server


def promtool(root: Trixie, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run promtool to its end."""
    command: Sequence[str | Path] = (root.root / "usr/bin/promtool", *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECS)
