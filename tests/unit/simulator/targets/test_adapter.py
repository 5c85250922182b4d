"""Runs against something else than a gateway, through the adapter that the documentation shows."""

from pathlib import Path

import pytest

from simulator.core.errors import UsageError
from simulator.targets.custom import load


def test_there_must_be_an_adapter(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no adapter"):
        load(tmp_path / "none.py")
