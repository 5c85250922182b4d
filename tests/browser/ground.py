"""The browser of a test session, or the reason why there is none: skipped, or failed where REQUIRE_BROWSER=1."""

import os
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Chromium, chromium, find

WHY = "no Chromium on this machine: apt-get install chromium"


def browsers() -> Iterator[Chromium]:
    """Yield a running browser; `pytest.skip` without one."""
    executable = find()
    if executable is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"REQUIRE_BROWSER=1, but {WHY}", pytrace=False)
        pytest.skip(WHY)
    with chromium(executable) as browser:
        yield browser
