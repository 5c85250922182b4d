"""Ledgers in files: they outlive the process that wrote them, killed or not."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.errors import UsageError
from simulator.send.ledger import Ledger
from simulator.send.ledger_folder import LedgerFolder
from simulator.send.results import WorkerResult
from tests.unit.simulator.cases import plan

PLAN = plan(workers=2, seconds=3.0)


PARTS = PLAN.parts()


notes = st.lists(
    st.tuples(
        st.integers(0, PARTS[0].lane.posts - 1), st.sampled_from(["sent", "stored", "refused", "partly", "dropped"])
    ),
    max_size=40,
    unique_by=lambda note: note[0],
)


def write(ledger: Ledger, noted: list[tuple[int, str]]) -> None:
    for post, what in noted:
        ledger.write_sent(post)
        match what:
            case "stored":
                ledger.write_acknowledged(post, "db")
            case "refused":
                ledger.write_refused(post, Counter(too_old=ledger.lane.readings))
            case "partly":
                ledger.write_partly(post, Counter(too_old=2), refused=[0, 3])
            case "dropped":
                ledger.write_dropped(post, Counter(too_old=1 + post % ledger.lane.readings))


def assert_same(one: Ledger, other: Ledger) -> None:
    assert one.outcomes.tolist() == other.outcomes.tolist()
    assert one.refused_readings.tolist() == other.refused_readings.tolist()
    assert one.dropped == other.dropped
    for name in ("sent", "acknowledged", "refused", "unacknowledged"):
        assert getattr(one, name) == getattr(other, name)


@given(notes)
def test_what_is_read_is_what_was_written(noted: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = LedgerFolder.create(Path(folder), PLAN)
        with files.writing() as open_ledger:
            written = open_ledger(PARTS[0])
            write(written, noted)
            assert_same(LedgerFolder.open(Path(folder)).read(PARTS[0]), written)
        assert_same(LedgerFolder.open(Path(folder)).read(PARTS[0]), written)


def test_the_plan_and_the_results_come_back(tmp_path: Path) -> None:
    files = LedgerFolder.create(tmp_path / "a" / "b", PLAN)
    assert LedgerFolder.open(tmp_path / "a" / "b").plan == PLAN
    files.keep_result(1, WorkerResult(parts=[], elapsed=2.5, cpu=0.5))
    assert files.result(1).elapsed == 2.5
    with pytest.raises(UsageError, match="Worker 0 left no result"):
        files.result(0)


def test_when_parts_began_comes_back_and_half_a_time_is_none(tmp_path: Path) -> None:
    files = LedgerFolder.create(tmp_path, PLAN)
    assert files.began() == {}
    for part, at in zip(PARTS, (1234.5, 1235.25), strict=True):
        files.keep_began(part, at)
    assert LedgerFolder.open(tmp_path).began() == {0: 1234.5, 1: 1235.25}
    whole = (tmp_path / "1.began").read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "1.began").write_bytes(whole[:cut])
        assert files.began() == {0: 1234.5}


def test_notes_of_the_watch_are_appended_and_come_back(tmp_path: Path) -> None:
    files = LedgerFolder.create(tmp_path, PLAN)
    assert files.watched() == b""
    with files.watching() as keep:
        keep(b"one\n")
        assert LedgerFolder.open(tmp_path).watched() == b"one\n"
        keep(b"two\n")
    assert files.watched() == b"one\ntwo\n"


def test_a_part_that_was_never_begun_is_unsent(tmp_path: Path) -> None:
    assert LedgerFolder.create(tmp_path, PLAN).read(PARTS[1]).sent == 0


def test_a_note_cut_short_is_left_out(tmp_path: Path) -> None:
    files = LedgerFolder.create(tmp_path, PLAN)
    with files.writing() as open_ledger:
        write(open_ledger(PARTS[0]), [(2, "partly")])
    with (tmp_path / "0.refused").open("ab") as file:
        file.write(b"\1\2\3")
    assert len(files.read(PARTS[0]).refused_readings) == 2


def _spoil_plan(folder: Path) -> None:
    (folder / "plan.json").write_text('{"scenario": 3}')


def _shorten(folder: Path) -> None:
    (folder / "0.outcomes").write_bytes(b"\0")


@pytest.mark.parametrize(
    ("harm", "sentence"), [(_spoil_plan, "another version, or damaged"), (_shorten, "has 1 bytes")]
)
def test_a_damaged_book_is_said_to_be_one(tmp_path: Path, harm: object, sentence: str) -> None:
    files = LedgerFolder.create(tmp_path, PLAN)
    with files.writing() as open_ledger:
        open_ledger(PARTS[0])
    assert callable(harm)
    harm(tmp_path)
    with pytest.raises(UsageError, match=sentence):
        LedgerFolder.open(tmp_path).read(PARTS[0])


def test_no_book_and_a_folder_in_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ledger"):
        LedgerFolder.open(tmp_path / "none")
    (tmp_path / "x").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        LedgerFolder.create(tmp_path, PLAN)
    with pytest.raises(UsageError, match="cannot be written"):
        LedgerFolder.create(tmp_path / "x" / "y", PLAN)


def test_two_workers_keep_ledgers_of_their_own(tmp_path: Path) -> None:
    first, second = PARTS
    files = LedgerFolder.create(tmp_path, PLAN)
    with files.writing() as open_ledger:
        write(open_ledger(first), [(0, "stored")])
        write(open_ledger(second), [(1, "stored")])
    assert files.read(first).outcomes.tolist() != files.read(second).outcomes.tolist()
