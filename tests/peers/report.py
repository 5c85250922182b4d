"""The report: measurements in, Markdown out. Medians, with the lowest and the highest of the rounds. Pure."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from tests.peers.measure import Killed, Measured, others
from tests.peers.target import PROGRAM
from tests.peers.works import WORKS

_HEAD = (
    "| | stored readings/s | stored of acknowledged | p50 ms | p99 ms | CPU s/M: itself | its servers | together |",
    "| --- | --: | --: | --: | --: | --: | --: | --: |",
)
_KILLED_HEAD = (
    "| | load | what an acknowledgement means | acknowledged | lost of it | stored without |",
    "| --- | --- | --- | --: | --: | --: |",
)


def tables(runs: Sequence[Measured], kills: Sequence[Killed], named: dict[str, tuple[str, str]]) -> str:
    """Return all tables; `named` is name → title, promise of each target."""
    lines: list[str] = []
    for work in WORKS.values():
        found = [run for run in runs if run.work == work.name]
        if found:
            lines += ["", f"**{work.name}: {work.title}**", "", *_HEAD, *_rows(found, named)]
            lines += ["", _beside(found)]
    if kills:
        lines += ["", "**kill -9 under load, then a start; readings, round by round**", "", *_KILLED_HEAD]
        lines += _killed_rows(kills, named)
    return "\n".join(lines).strip() + "\n"


def _rows(found: Sequence[Measured], named: dict[str, tuple[str, str]]) -> Iterator[str]:
    groups = [[run for run in found if run.target == name] for name in dict.fromkeys(run.target for run in found)]
    for group in sorted(groups, key=lambda group: -median(run.rate for run in group)):
        stored = sum(run.stored for run in group) / max(1, sum(run.acknowledged for run in group))
        errors = sum(sum(run.errors.values()) for run in group)
        cells = [
            named[group[0].target][0] + (f" ({errors:,} connections failed)" if errors else ""),
            spread(group, lambda run: run.rate),
            f"{stored:.1%}",
            spread(group, lambda run: run.p50_ms, 1),
            spread(group, lambda run: run.p99_ms, 1),
            _cost(group, lambda run: run.cpu_for_a_million(PROGRAM)),
            _cost(group, lambda run: run.cpu_for_a_million(*others(run)) if others(run) else 0.0),
            _cost(group, lambda run: run.cpu_for_a_million()),
        ]
        yield f"| {' | '.join(cells)} |"


def _beside(found: Sequence[Measured]) -> str:
    """Return what else ran."""
    load, other = (spread(found, key, 2) for key in (lambda run: run.load_cores, lambda run: run.other_cores))
    return f"Cores taken by the load generator: {load}; by everybody else on the machine: {other}."


def _killed_rows(kills: Sequence[Killed], named: dict[str, tuple[str, str]]) -> Iterator[str]:
    for name, work in dict.fromkeys((kill.target, kill.work) for kill in kills):
        group = [kill for kill in kills if (kill.target, kill.work) == (name, work)]
        columns = zip(*[(kill.acknowledged, kill.lost, kill.unasked) for kill in group], strict=True)
        told = [", ".join(f"{number:,}" for number in column) for column in columns]
        yield f"| {' | '.join([named[name][0], work, named[name][1], *told])} |"


def spread(group: Sequence[Measured], key: Callable[[Measured], float], digits: int = 0) -> str:
    """Return the median, and the range in brackets if there are several."""
    values = sorted(map(key, group))
    middle = f"{median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({values[0]:,.{digits}f}–{values[-1]:,.{digits}f})"


def _cost(group: Sequence[Measured], key: Callable[[Measured], float]) -> str:
    value = median(map(key, group))
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
