"""The folder that a killed run of the gateway left behind."""

from pathlib import Path

from gateway.app.processes import run_folder


def left_by_a_killed_run(base: Path, name: str) -> Path:
    folder = base / f"{run_folder.PREFIX}{name}"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "counter_7.db").touch()
    return folder
