"""The verdict as single checks, each passed, failed or left out, and as JUnit XML: a report in, checks out. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from simulator.plan.requirements import FOUND
from simulator.report.figures import unknown_to
from simulator.report.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `left_out` says why it was not made, if so; `examples` are lines, a hundred at most."""

    name: str
    is_good: bool
    told: str
    left_out: str = ""
    examples: tuple[str, ...] = ()


def checks_of(report: Report) -> list[Check]:
    """Return every check of a run, those of the verification first, its requirements last."""
    return [_acknowledged(report), *_findings(report), _answers(report), *_letters(report), *_required(report)]


def _acknowledged(report: Report) -> Check:
    count = sum(lane.acknowledged for lane in report.lanes)
    return Check(name="something was acknowledged", is_good=count > 0, told=f"{count:,} readings")


def _findings(report: Report) -> Iterator[Check]:
    for figure, field in FOUND.items():
        total = report.verdict.total if report.verdict else None
        count = getattr(total, field) if total else 0
        unknown = unknown_to(report.verdict, figure)
        trouble = field.replace("_", " ").removesuffix("s")
        examples = tuple(
            f"{p.device} {p.metric} {p.time} {p.detail}".rstrip()
            for p in (total.problems if total else ())
            if p.trouble == trouble
        )
        left_out = "" if count else unknown
        yield Check(
            name=figure.replace("_", " "), is_good=not count, told=f"{count:,}", left_out=left_out, examples=examples
        )


def _answers(report: Report) -> Check:
    count = sum(report.score.wrong.values())
    examples = tuple(f"{one.device} {one.fault}: {one.got}, should be {one.expected}" for one in report.score.examples)
    return Check(name="wrong answers", is_good=not count, told=f"{count:,}", examples=examples)


def _letters(report: Report) -> Iterator[Check]:
    """Yield the check of dead letters, if any had to be written."""
    letters = report.verdict.letters if report.verdict else None
    if letters is None or not (letters.expected or letters.unexpected or letters.unchecked):
        return
    count = letters.missing + letters.unexpected
    told = f"{letters.missing:,} missing, {letters.unexpected:,} unexpected"
    yield Check(
        name="dead letters", is_good=not count, told=told, left_out=letters.unchecked, examples=tuple(letters.examples)
    )


def _required(report: Report) -> Iterator[Check]:
    for outcome in report.outcomes:
        yield Check(name=f"required {outcome.requirement}", is_good=outcome.is_met, told=outcome.told)


_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""


def to_junit(report: Report) -> bytes:
    """Return the XML, in UTF-8. A check that could not be made is skipped; a verification cut short is an error."""
    checks = checks_of(report)
    unfinished = report.verdict.unfinished if report.verdict else ""
    suite = ET.Element(
        "testsuite",
        name=f"simulator {report.plan.prefix}",
        tests=str(len(checks) + bool(unfinished)),
        failures=str(sum(not check.is_good for check in checks)),
        errors=str(int(bool(unfinished))),
        skipped=str(sum(check.is_good and bool(check.left_out) for check in checks)),
        time=f"{report.elapsed:.3f}",
    )
    for check in checks:
        _add(suite, check)
    if unfinished:
        case = ET.SubElement(suite, "testcase", classname="simulator", name="verified to the end")
        ET.SubElement(case, "error", message=_clean(unfinished))
    ET.SubElement(suite, "system-out").text = _clean("\n".join(report.notes))
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def _add(suite: ET.Element, check: Check) -> None:
    case = ET.SubElement(suite, "testcase", classname="simulator", name=_clean(check.name))
    if not check.is_good:
        failure = ET.SubElement(case, "failure", message=_clean(f"{check.name}: {check.told}"))
        failure.text = _clean("\n".join(check.examples))
    elif check.left_out:
        ET.SubElement(case, "skipped", message=_clean(check.left_out))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
