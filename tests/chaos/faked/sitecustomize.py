"""Makes time.sleep work under libfaketime: it answers EINVAL to clock_nanosleep on a clock that it does not fake.

Python imports this by its name from PYTHONPATH, in each process whose clock `tests.chaos.clock` steps.
"""

import select
import time
from typing import SupportsIndex


def sleep(secs: SupportsIndex | float, /) -> None:
    """Sleep, by a system call that libfaketime leaves alone."""
    select.select([], [], [], float(secs))


time.sleep = sleep
