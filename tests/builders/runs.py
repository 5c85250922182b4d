"""The folder that a killed run of the gateway left behind."""

from pathlib import Path

from gateway.app.processes import run_folder


def left_by_a_killed_run(base: Path, name: str) -> tuple[Path, Path]:
    folder, helper = base / f"{run_folder.PREFIX}{name}", base / f"pymp-{name}"
    folder.mkdir()
    helper.mkdir()
    (folder / "lock").touch()
    (folder / "counter_7.db").touch()
    (helper / "listener-x").touch()
    run_folder.note_helper(folder, str(helper))
    return folder, helper
