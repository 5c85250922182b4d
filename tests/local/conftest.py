"""Folders for stacks: one that the servers' user can walk to, and one that it cannot."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.folders import scratch


@dataclass(frozen=True)
class Place:
    """Where a stack's folder goes, and the base for data that cannot lie in it."""

    folder: Path
    base: Path


@pytest.fixture
def open_place() -> Iterator[Place]:
    with scratch(Path("/tmp")) as root:
        yield Place(root / ".local", root / "base")


@pytest.fixture
def closed_place(tmp_path: Path, open_place: Place) -> Place:
    """Below a 0700 folder of ours: as root, the servers' user cannot walk to it."""
    tmp_path.chmod(0o700)
    return Place(tmp_path / ".local", open_place.base)
