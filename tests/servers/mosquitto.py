"""In: a mosquitto program, limits. Out: a running broker and its URL. Never shared between configurations."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.app.dev_servers.child_process import Child, User
from gateway.app.dev_servers.ports import free_port, listens
from gateway.app.dev_servers.server import ChildServer
from tests.servers.trixie import Trixie


@dataclass(frozen=True)
class Limits:
    """What the guarantees lean on; 0 is 'no limit' in mosquitto's own words (mosquitto.conf(5))."""

    max_inflight_messages: int = 1000
    max_queued_messages: int = 0
    persistence: bool = True


@dataclass(slots=True)
class Mosquitto(ChildServer):
    """A mosquitto broker on 127.0.0.1 as our child, speaking MQTT 3.1.1 and 5 on one port; anonymous.

    ``data`` exists and belongs to ``user``; with ``root`` it lies inside that chroot. Sessions and queues outlive
    ``stop``/``start`` (saved on stop), not ``kill`` beyond the last autosave.
    """

    program: Path
    data: Path
    log: Path
    port: int
    limits: Limits = field(default_factory=Limits)
    user: User | None = None
    root: Path | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.data / "mosquitto.conf"
        config.write_text(self._config())
        config.chmod(0o644)
        argv: list[str | Path] = [self.program, "-c", self._inside(config)]
        child = Child("mosquitto", argv, log=self.log, user=self.user, root=self.root, env={"LANG": "C.UTF-8"})
        child.start(lambda: listens(self.port))
        self._child = child

    def _config(self) -> str:
        limits = self.limits
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            f"persistence {str(limits.persistence).lower()}",
            f"persistence_location {self._inside(self.data)}/",
            "autosave_interval 1",
            "autosave_on_changes false",
            f"max_inflight_messages {limits.max_inflight_messages}",
            f"max_queued_messages {limits.max_queued_messages}",
            "max_queued_bytes 0",
            "log_type error",
            "log_type warning",
        ]
        return "\n".join(lines) + "\n"

    def _inside(self, path: Path) -> Path:
        return path if self.root is None else Path("/") / path.relative_to(self.root)


@contextmanager
def trixie_mosquitto(root: Trixie, limits: Limits, *, port: int | None = None) -> Iterator[Mosquitto]:
    """Debian's build, in the root."""
    user = root.user("mosquitto")
    with root.folder(user) as folder:
        program = Path("/usr/sbin/mosquitto")
        log = folder / "mosquitto.log"
        broker = Mosquitto(program, folder, log, port=port or free_port(), limits=limits, user=user, root=root.root)
        with broker:
            yield broker


@contextmanager
def own_mosquitto(program: Path, limits: Limits, *, port: int | None = None) -> Iterator[Mosquitto]:
    """The machine's own program, as ourselves."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "mosquitto.log"
        broker = Mosquitto(program, Path(folder), log, port=port or free_port(), limits=limits)
        with broker:
            yield broker
