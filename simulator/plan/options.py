"""Command-line options, with their defaults: words and numbers in, checked values out. Opens key files only."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from msgspec.structs import replace

from simulator.core.errors import UsageError
from simulator.plan.load import LoadOptions
from simulator.plan.plan import Plan, TargetKind, TargetSpec
from simulator.plan.requirements import FOUND, Requirement, parse

WHERE_TO = Group("Where to", sort_key=1)


@Parameter(name="*", group=WHERE_TO)
@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """What is sent to."""

    kind: Annotated[TargetKind | None, Parameter(name="--target")] = None
    """What is at --url: a gateway, InfluxDB, or what an --adapter knows [gateway; to verify, what it was sent to]."""
    adapter: Path | None = None
    """Python file that knows the target of --target custom; see the documentation."""
    influx_db: str | None = None
    """InfluxDB's database, made if it is not there; of 2.x the bucket [simulator]."""
    influx_org: str | None = None
    """The organisation of InfluxDB 2.x; without it 1.x is spoken to."""

    def spec(self) -> TargetSpec:
        """Return the target that is asked for. Raises UsageError, in a sentence, for what makes no sense."""
        kind = self.kind or "gateway"
        influx = self.influx_db is not None or self.influx_org is not None
        if influx and kind != "influx":
            raise UsageError("--influx-db and --influx-org need --target influx.")
        if (self.adapter is not None) != (kind == "custom"):
            raise UsageError("--target custom and --adapter FILE belong together.")
        db = "simulator" if self.influx_db is None else self.influx_db
        if not db or any(not letter.isprintable() or letter in '"\\' for letter in db):
            raise UsageError("--influx-db must be a name without quotes and backslashes.")
        if kind != "influx":
            return TargetSpec(kind=kind, adapter=str(self.adapter.absolute()) if self.adapter else "")
        return TargetSpec(kind=kind, db=db, org=self.influx_org or "")

    def aimed(self, plan: Plan) -> Plan:
        """Return the plan with the target that is asked for, its own if none is. Raises UsageError."""
        spec = self.spec()
        if self.kind is None or spec == plan.target:
            return plan
        return replace(plan, target=spec)


DEFAULT_KEY_FILE = Path(".local/admin.key")
KEY_VARIABLE = "SIMULATOR_KEY"
Verify = Literal["database", "api", "none"]

_VERDICT = Group("Verdict", sort_key=2)


@Parameter(name="*", group=WHERE_TO)
@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The gateway and the broker, and how we are known there."""

    url: Annotated[str, Parameter(env_var="SIMULATOR_URL")] = "http://127.0.0.1:8080"
    """The gateway."""
    mqtt: Annotated[str, Parameter(env_var="SIMULATOR_MQTT")] = "127.0.0.1:1883"
    """The broker: host:port, or mqtt://user:password@host:port."""
    key_file: Path | None = None
    """File with the gateway's key; else $SIMULATOR_KEY, else .local/admin.key."""

    def key(self, *, kind: TargetKind = "gateway") -> str:
        """Return the key, empty if there is none: nobody but a gateway is shown .local/admin.key.

        Raises UsageError for a file that cannot be read.
        """
        if self.key_file is None and KEY_VARIABLE in os.environ:
            return _one_word(os.environ[KEY_VARIABLE], where=f"${KEY_VARIABLE}")
        path = self.key_file or DEFAULT_KEY_FILE
        if self.key_file is None and (kind != "gateway" or not path.exists()):
            return ""
        try:
            text = path.read_text(encoding="ascii")
        except OSError as error:
            raise UsageError(f"The key file {path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError:
            text = ""
        return _one_word(text, where=f"The key file {path}")


def _one_word(text: str, *, where: str) -> str:
    words = text.split()
    if len(words) != 1 or not (words[0].isascii() and words[0].isprintable()):
        raise UsageError(f"{where} must hold one key and nothing else.")
    return words[0]


@Parameter(name="*", group=_VERDICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How what was sent is held against what is stored."""

    verify: Verify | None = None
    """Where to look for what is stored [the database, if it is given, else the API]."""
    database: Annotated[str | None, Parameter(env_var="SIMULATOR_DATABASE", show_env_var=True)] = None
    """The gateway's database, postgresql://…."""
    settle: float = 30
    """Seconds that what was acknowledged may take to be stored."""
    json: Path | None = None
    """Write the report there, too."""
    junit: Path | None = None
    """Write it there as JUnit XML: each check, and each requirement, is a test case."""

    def __post_init__(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        if self.verify == "database" and self.database is None:
            raise UsageError("--verify database needs the database: give it with --database.")

    @property
    def source(self) -> Verify:
        """Where to look."""
        return where(self.verify, self.database)


def where(verify: Verify | None, database: str | None) -> Verify:
    """Return where to look for what is stored: where one is told to, else the database if there is one."""
    return verify or ("database" if database is not None else "api")


@Parameter(name="*", group=_VERDICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictOptions(Judging):
    """How the run is judged."""

    no_verify: Annotated[bool, Parameter(negative="")] = False
    """The same as --verify none."""
    ledger: Path | None = None
    """Keep what was sent and answered in this folder, and the devices, for `simulator verify` and `remove`."""
    register: bool | None = None
    """Register the devices and a key for them first [as the scenario says; no without one]."""
    enrol: Annotated[bool | None, Parameter(show=False)] = None  # the name of `register` before this release
    keep: Annotated[bool, Parameter(negative="")] = False
    """Leave the registered devices, and their readings, when all is well; if it is not they stay anyway."""
    html: Path | None = None
    """Write it there as one page with charts, to be opened in a browser."""
    require: str = ""
    """What the run must reach, else exit code 99: "p99_ack<200ms,lost=0,errors<0.1%"; a wrong name lists them all."""

    @property
    def source(self) -> Verify:
        """Where to look."""
        return "none" if self.no_verify else where(self.verify, self.database)

    def requirements(self) -> list[Requirement]:
        """Return what the run must reach. Raises UsageError for what is none, and for what nobody will look at."""
        found = parse(self.require)
        unseen = [one.text for one in found if one.name in FOUND]
        if unseen and self.source == "none":
            raise UsageError(f"--require: {unseen[0]} needs a verification, and --verify none leaves it out.")
        if self.source == "api" and any(one.name == "duplicated" for one in found):
            raise UsageError("--require: only the database shows what is duplicated: give it with --database.")
        return found


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class WhereTo:
    """What is sent to, or was, and how we are known there."""

    target: Access = field(default_factory=Access)
    aim: TargetOptions = field(default_factory=TargetOptions)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(WhereTo):
    """All that `simulator run` takes."""

    load: LoadOptions = field(default_factory=LoadOptions)
    verdict: VerdictOptions = field(default_factory=VerdictOptions)

    def plan(self, name: str | None = None, *, now_ms: int) -> Plan:
        """Return the run these options describe. Raises UsageError."""
        plan = self.aim.aimed(self.load.plan(name, now_ms=now_ms))
        register = self.verdict.enrol if self.verdict.register is None else self.verdict.register
        if register is None:
            return plan
        return replace(plan, scenario=replace(plan.scenario, register=register))
