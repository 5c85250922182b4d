"""The scenarios that come with the simulator, and those in files: a name or a path in, a scenario out. Reads only."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import msgspec

from simulator.core.errors import UsageError
from simulator.plan.scenario import Scenario

_SUFFIX = ".toml"
_MAX_BYTES = 1_000_000


def names() -> list[str]:
    """Return the names of the scenarios that come with the simulator."""
    files = (resources.files("simulator.plan") / "scenarios").iterdir()
    return sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))


def listed() -> Iterator[tuple[str, Scenario]]:
    """Yield them, each by its name."""
    for name in names():
        yield name, find(name)


def find(name: str) -> Scenario:
    """Return the scenario of this name, or in this file. Raises UsageError."""
    if name in names():
        return parse((resources.files("simulator.plan") / "scenarios" / f"{name}{_SUFFIX}").read_bytes(), where=name)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"There is no scenario {name!r}, and no such file. There are {', '.join(names())}.")
    try:
        with path.open("rb") as file:
            return parse(file.read(_MAX_BYTES), where=name)
    except OSError as error:
        raise UsageError(f"The scenario {name} cannot be read: {error}.") from error


def parse(text: bytes, *, where: str) -> Scenario:
    """Read a scenario's TOML. Raises UsageError, which names the place in it."""
    try:
        return msgspec.toml.decode(text, type=Scenario)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # ValidationError is a DecodeError
        raise UsageError(
            f"The scenario {where} makes no sense: {error}. `simulator schema` tells what may be said."
        ) from error
