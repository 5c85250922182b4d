"""Ledgers in files: they outlive the process that wrote them, killed or not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from simulator.send.ledger_folder import LedgerFolder
from tests.unit.simulator.send.test_ledger_folder import PARTS, PLAN

KILLED = """
import os, signal, sys
from collections import Counter
from pathlib import Path
from simulator.send.ledger_folder import LedgerFolder
files = LedgerFolder.open(Path(sys.argv[1]))
with files.writing() as open_ledger:
    ledger = open_ledger(files.plan.parts()[0])
    for post in range(5):
        ledger.write_sent(post)
        ledger.write_acknowledged(post, "db") if post < 3 else None
    ledger.write_partly(3, Counter(too_old=1), refused=[7])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_all_it_noted(tmp_path: Path) -> None:
    files = LedgerFolder.create(tmp_path, PLAN)
    done = subprocess.run([sys.executable, "-c", KILLED, os.fspath(tmp_path)], check=False, cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL
    ledger = files.read(PARTS[0])
    size = PARTS[0].lane.readings
    assert (ledger.acknowledged, ledger.refused, ledger.unacknowledged) == (4 * size - 1, 1, size)
    assert ledger.refused_readings.tolist() == [3 * size + 7]
