"""What the command line takes, with its defaults: words and numbers in, checked values out. Opens key files only."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from simulator.encode import Shape
from simulator.errors import UsageError
from simulator.scenario import Mix, Scenario, run_id

DEFAULT_KEY_FILE = Path(".local/admin.key")
KEY_VARIABLE = "SIMULATOR_KEY"
_MAX_CONNECTIONS = 1_000

_LOAD = Group("Load", sort_key=0)
_TARGET = Group("Where to", sort_key=1)
_VERDICT = Group("Verdict", sort_key=2)


@Parameter(name="*", group=_TARGET)
@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The gateway and the broker, and how we are known there."""

    url: Annotated[str, Parameter(env_var="SIMULATOR_URL")] = "http://127.0.0.1:8080"
    """The gateway."""
    mqtt: Annotated[str, Parameter(env_var="SIMULATOR_MQTT")] = "127.0.0.1:1883"
    """The broker: host:port, or mqtt://user:password@host:port."""
    key_file: Path | None = None
    """File with the gateway's key; else $SIMULATOR_KEY, else .local/admin.key."""

    def key(self) -> str:
        """Return the key, empty if there is none. Raises UsageError for a file that cannot be read."""
        if self.key_file is None and KEY_VARIABLE in os.environ:
            return _one_word(os.environ[KEY_VARIABLE], where=f"${KEY_VARIABLE}")
        path = self.key_file or DEFAULT_KEY_FILE
        if self.key_file is None and not path.exists():
            return ""
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The key file {path} cannot be read: {error}.") from error
        return _one_word(text, where=f"The key file {path}")


def _one_word(text: str, *, where: str) -> str:
    words = text.split()
    if len(words) != 1 or not words[0].isascii():
        raise UsageError(f"{where} must hold one key and nothing else.")
    return words[0]


@Parameter(name="*", group=_LOAD)
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What is sent, and how fast."""

    devices: int = 1_000
    """Devices that report."""
    rate: float = 20_000
    """Readings offered a second, over all transports."""
    seconds: float = 20
    """How long they are offered."""
    transport: Mix = "mixed"
    """How they are sent; mixed gives half of the devices to each."""
    batch: int = 50
    """Readings in a request, of several devices."""
    publish_batch: int | None = None
    """Readings in an MQTT publish, of one device [default: as --batch]."""
    metrics: int = 5
    """Numbers each device reports."""
    mixed_kinds: bool = False
    """Add a bool and a text to them."""
    shape: Shape = "values"
    """How bodies are written; see the documentation of the API."""
    seed: int = 1
    """Decides every value."""
    run: str | None = None
    """Name of the run, part of the devices' names [default: from the time]."""
    start_ms: int | None = None
    """Time of the first readings, in ms since 1970 [default: now]. With --run and --seed it decides every byte."""
    connections: int = 16
    """HTTP connections; each has one request on the way."""
    mqtt_connections: int = 4
    """MQTT connections."""
    window: int = 1_000
    """MQTT messages on the way on each connection."""
    give_up: float = 60
    """Seconds after which a post is neither started nor sent again."""

    def __post_init__(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        for name, count in (("connections", self.connections), ("mqtt-connections", self.mqtt_connections)):
            if not 1 <= count <= _MAX_CONNECTIONS:
                raise UsageError(f"--{name} must be from 1 to {_MAX_CONNECTIONS:,}.")
        if not 1 <= self.window <= 65_535:  # noqa: PLR2004 - packet identifiers have 16 bits
            raise UsageError("--window must be from 1 to 65,535.")
        if self.give_up < 0:
            raise UsageError("--give-up must not be negative.")

    def scenario(self, *, now_ms: int) -> Scenario:
        """Return the run these options describe. Raises UsageError."""
        start_ms = now_ms if self.start_ms is None else self.start_ms
        return Scenario(
            devices=self.devices,
            rate=self.rate,
            seconds=self.seconds,
            transport=self.transport,
            batch=self.batch,
            publish_batch=self.batch if self.publish_batch is None else self.publish_batch,
            metrics=self.metrics,
            mixed_kinds=self.mixed_kinds,
            shape=self.shape,
            seed=self.seed,
            run=self.run or run_id(now_ms),
            start_ms=start_ms,
        )


@Parameter(name="*", group=_VERDICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictOptions:
    """How the run is judged."""

    verify: Annotated[bool, Parameter(negative="--no-verify")] = True
    """Look afterwards whether every reading is stored and shown."""
    database: Annotated[str | None, Parameter(env_var="SIMULATOR_DATABASE", show_env_var=True)] = None
    """The gateway's database, postgresql://…; without it only states are checked."""
    settle: float = 30
    """Seconds that what was acknowledged may take to be stored."""
    json: Path | None = None
    """Write the report there, too."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """All that `simulator run` takes."""

    load: LoadOptions = field(default_factory=LoadOptions)
    target: Target = field(default_factory=Target)
    verdict: VerdictOptions = field(default_factory=VerdictOptions)
