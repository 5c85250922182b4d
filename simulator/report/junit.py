"""The report for continuous integration: a report in, JUnit XML out, one test case for each check. Pure."""

import re
from xml.etree import ElementTree as ET

from simulator.report.checks import Check, checks_of
from simulator.report.report import Report

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
