"""The verdict as JUnit XML: what is a test case, and what became of it."""

from xml.etree import ElementTree as ET

from simulator.plan.faults import Fault
from simulator.plan.requirements import parse
from simulator.report.checks import to_junit
from simulator.report.report import Report
from simulator.send.loads.script import Score, WrongAnswer
from simulator.verify.dead_letters import DeadLetterFindings
from simulator.verify.findings import Findings, Problem
from simulator.verify.referee import Verdict
from tests.unit.simulator.cases import plan
from tests.unit.simulator.report.test_report import result


def cases(report: Report) -> tuple[ET.Element, dict[str, str]]:
    """The suite, and of each case how it ended: passed, failure, skipped or error."""
    suite = ET.fromstring(to_junit(report))
    ends = {case.attrib["name"]: case[0].tag if len(case) else "passed" for case in suite.iter("testcase")}
    counted = list(ends.values())
    assert int(suite.attrib["tests"]) == len(counted)
    for tag, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.attrib[plural]) == counted.count(tag)
    return suite, ends


def test_each_check_is_a_case_and_each_requirement_too() -> None:
    findings = Findings(stored=99, lost=1, problems=[Problem("lost", "d1", "humidity", 0, "")])
    verdict = Verdict({"http": findings}, stored_checked=True, twins_shown=False)
    suite, ends = cases(Report(plan(), [result()], verdict=verdict, requirements=parse("p99_ack<1ms,unsent=0")))
    assert ends == {
        "something was acknowledged": "passed",
        "lost": "failure",
        "duplicated": "skipped",
        "altered": "passed",
        "unexpected": "passed",
        "state wrong": "passed",
        "stream gaps": "skipped",
        "stream wrong": "skipped",
        "wrong answers": "passed",
        "required p99_ack<1ms": "failure",
        "required unsent=0": "passed",
    }
    lost = next(case[0] for case in suite.iter("testcase") if case.attrib["name"] == "lost")
    assert lost.attrib["message"] == "lost: 1"
    assert (lost.text or "").startswith("d1 humidity 1970-01-01T")


def test_what_was_not_looked_at_is_skipped_and_what_broke_off_is_an_error() -> None:
    _, ends = cases(Report(plan(), [result()], verdict=None))
    assert [name for name, end in ends.items() if end == "skipped"] == [
        "lost", "duplicated", "altered", "unexpected", "state wrong", "stream gaps", "stream wrong",
    ]  # fmt: skip
    gone = Verdict.none({"http"}, why="The database does not answer.")
    _, ends = cases(Report(plan(), [result()], verdict=gone))
    assert ends["verified to the end"] == "error"


def test_odd_characters_and_missing_letters_make_xml_all_the_same() -> None:
    score = Score()
    score.note(Fault.NUL, WrongAnswer(device="d<1>\x00\ud800&", time_us=0, fault="nul", expected="207", got="200"))
    letters = DeadLetterFindings(expected=3, missing=2, examples=["d1 bad_text \x1b[31m"])
    suite, ends = cases(Report(plan(), [result(score=score)], verdict=Verdict({}, letters=letters)))
    assert (ends["wrong answers"], ends["dead letters"]) == ("failure", "failure")
    text = "".join(suite.itertext())
    assert "d<1>\ufffd\ufffd& nul: 200, should be 207" in text
    assert "\x1b" not in text
