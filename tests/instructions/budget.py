"""The budget: what each workload cost when its figures were stored, and whether it is dearer now. Pure.

In: stored figures (`ceilings.json`) and measured ones, a request each. Out: verdicts, with the names of what grew.

Instructions are compared with those of the same build of the interpreter, if its yardstick (yardstick.py) takes as many
as it did then: within 3 %. On any other build and machine they would differ by up to 15 % for the same code. There the
bytecodes and the calls of C functions are compared, within 3 % too: they are the same on every build of a minor
version, and whatever is added in Python shows in them. Instructions must only stay within a wide bound there, as a
multiple of the yardstick; that is for what becomes dearer inside of C.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

PLACE = Path(__file__).with_name("ceilings.json")
TOLERANCE = 0.03
SCALED_TOLERANCE = 0.06
"""Where a figure was reckoned from another build's change."""
WIDE_TOLERANCE = 0.15
"""Of instructions as a multiple of the yardstick, on a build without figures of its own."""
SAME_YARDSTICK = 0.01
KEPT = 0.004
"""Share of a workload from which on a function is stored by name."""
NAMED = 5
"""How many of those that grew most are named."""


class Cost(msgspec.Struct):
    """What a request costs a build of the interpreter, in instructions."""

    total: int
    libraries: dict[str, int]
    """By the file that holds the code."""
    functions: dict[str, int] = {}
    """Of the dearest C functions, each without what it calls; where the file has names for them."""
    scaled: bool = False
    """Whether it was not measured, but reckoned from what the change did on another build."""


class Build(msgspec.Struct):
    """What one build of the interpreter was measured to cost."""

    yardstick: int
    workloads: dict[str, Cost]


class Work(msgspec.Struct):
    """What a request does in Python, whichever build runs it."""

    opcodes: float
    calls: float
    """Of functions written in C."""
    functions: dict[str, float]
    """Bytecodes of a Python function."""
    called: dict[str, float]
    """Calls of a function written in C."""


class Ceilings(msgspec.Struct):
    """All that is stored."""

    builds: dict[str, Build]
    versions: dict[str, dict[str, Work]]
    """Minor version of Python → workload → what a request does."""


class Measured(NamedTuple):
    """What was measured just now; without valgrind no `build`."""

    name: str
    """Of the build."""
    version: str
    build: Build | None
    works: Mapping[str, Work]


class Verdict(NamedTuple):
    """How a workload is; `grown` names what makes it dearer, if it is."""

    workload: str
    figure: str
    is_dearer: bool
    is_cheaper: bool = False
    """By more than noise: what is stored is out of date."""
    grown: Sequence[str] = ()


def load(place: Path) -> Ceilings:
    """Return what is stored there."""
    return msgspec.json.decode(place.read_bytes(), type=Ceilings)


def save(ceilings: Ceilings, place: Path) -> None:
    """Store it, in an order that makes small changes small ones."""
    place.write_bytes(msgspec.json.format(msgspec.json.encode(ceilings, order="sorted"), indent=1) + b"\n")


def to_work(opcodes: Counter[str], calls: Counter[str], requests: int) -> Work:
    """Return what one of so many requests does; by name only what counts."""
    return Work(
        round(opcodes.total() / requests, 1),
        round(calls.total() / requests, 1),
        _largest(opcodes, requests),
        _largest(calls, requests),
    )


def _largest(counts: Counter[str], requests: int) -> dict[str, float]:
    least = counts.total() * KEPT
    return {name: round(count / requests, 1) for name, count in counts.items() if count >= least}


def compare(stored: Ceilings, measured: Measured) -> list[Verdict]:
    """Return how each measured workload is."""
    known = stored.builds.get(measured.name)
    same = known is not None and measured.build is not None and is_close(known.yardstick, measured.build.yardstick)
    works = stored.versions.get(measured.version, {})
    found = []
    for name, work in measured.works.items():
        cost = measured.build.workloads[name] if measured.build else None
        before = known.workloads.get(name) if known is not None and same else None
        if cost is not None and before is not None:
            verdict = by_instructions(name, before, cost)
        else:
            verdict = by_work(name, works.get(name), work, wide=_wide(stored, measured, name))
        if verdict.is_dearer:
            verdict = verdict._replace(grown=[*grown(works.get(name), work), *grown_in_c(before, cost)])
        found.append(verdict)
    return found


def is_close(one: int, other: int) -> bool:
    """Whether two counts of the yardstick are those of the same build."""
    return abs(one - other) <= SAME_YARDSTICK * one


def by_instructions(name: str, before: Cost, now: Cost) -> Verdict:
    """Judge a workload on a build whose figures are stored."""
    tolerance = SCALED_TOLERANCE if before.scaled else TOLERANCE
    more = now.total / before.total - 1
    said = f"{now.total:,} instructions a request, {more:+.1%} of {before.total:,} (allowed {tolerance:+.0%})"
    return Verdict(name, said, more > tolerance, more < -tolerance)


def by_work(name: str, before: Work | None, now: Work, *, wide: tuple[float, float] | None) -> Verdict:
    """Judge it on any other build; `wide` is its cost as a multiple of the yardstick, and what was known before."""
    dearer, said = False, []
    if before is not None:
        for word, old, new in (("bytecodes", before.opcodes, now.opcodes), ("C calls", before.calls, now.calls)):
            said.append(f"{new:,.0f} {word} a request, {new / old - 1:+.1%} of {old:,.0f}")
            dearer = dearer or new > old * (1 + TOLERANCE)
    if wide is not None:
        new, old = wide
        said.append(f"{new:.4f} yardsticks, {new / old - 1:+.1%} of {old:.4f} (allowed {WIDE_TOLERANCE:+.0%})")
        dearer = dearer or new > old * (1 + WIDE_TOLERANCE)
    return Verdict(name, "; ".join(said) or "nothing is stored to compare with", dearer)


def _wide(stored: Ceilings, measured: Measured, name: str) -> tuple[float, float] | None:
    """Return what a request costs in yardsticks, and the most it costs on any build that is known."""
    if measured.build is None:
        return None
    known = [
        build.workloads[name].total / build.yardstick
        for told, build in stored.builds.items()
        if name in build.workloads and told.split()[1].startswith(f"{measured.version}.")
    ]
    return (measured.build.workloads[name].total / measured.build.yardstick, max(known)) if known else None


def grown(before: Work | None, now: Work) -> Iterator[str]:
    """Yield the Python functions, and the C functions they call, that grew most."""
    if before is None:
        return
    yield from _most(before.functions, now.functions, "bytecodes")
    yield from _most(before.called, now.called, "calls")


def grown_in_c(before: Cost | None, now: Cost | None) -> Iterator[str]:
    """Yield the files of compiled code, and the functions there, that grew most."""
    if before is not None and now is not None:
        least = 0.002 * before.total
        yield from _most(before.libraries, now.libraries, "instructions", least=least)
        yield from _most(before.functions, now.functions, "instructions", least=least)


def _most(before: Mapping[str, float], now: Mapping[str, float], word: str, *, least: float = 0.0) -> Iterator[str]:
    more = Counter({name: count - before.get(name, 0) for name, count in now.items()})
    for name, growth in more.most_common(NAMED):
        if growth > max(least, 0.05):
            yield f"{name}: {before.get(name, 0):,g} → {now[name]:,g} {word} a request"


def updated(stored: Ceilings, measured: Measured) -> Ceilings:
    """Return what to store from now on; figures of other builds change by the factor of this one's change."""
    builds = dict(stored.builds)
    if measured.build is not None:
        known = builds.get(measured.name)
        for name, build in builds.items():
            builds[name] = build if known is None else _scaled(build, known, measured.build)
        kept = {} if known is None else known.workloads
        builds[measured.name] = Build(measured.build.yardstick, kept | measured.build.workloads)
    works = {**stored.versions.get(measured.version, {}), **measured.works}
    return Ceilings(builds, {**stored.versions, measured.version: works})


def _scaled(build: Build, before: Build, now: Build) -> Build:
    workloads = dict(build.workloads)
    for name, cost in now.workloads.items():
        if name in workloads and name in before.workloads:
            old, factor = workloads[name], cost.total / before.workloads[name].total
            exact = is_exact(factor)
            total = old.total if exact else round(old.total * factor)
            workloads[name] = Cost(total, old.libraries, old.functions, scaled=old.scaled or not exact)
    return Build(build.yardstick, workloads)


def is_exact(factor: float) -> bool:
    """Whether a change is none, but for noise."""
    return abs(factor - 1) < SAME_YARDSTICK
