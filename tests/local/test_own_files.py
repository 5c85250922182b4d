"""Files of the local stack in a folder of somebody else: no link there is followed, and nothing is taken over."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.app.dev_servers.child_process import User
from gateway.app.dev_servers.data_folder import Home
from gateway.app.dev_servers.own_files import open_lock, own_folder, read_foreign, write_private
from gateway.app.dev_servers.postgres import Installation, Loopback, PostgresServer
from gateway.app.dev_servers.stack import LocalStack
from gateway.core.errors import LocalStackError
from tests.local.conftest import Place

SOMEBODY = User(54321, 54322)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs other users' files")
SECRET = "root's own"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "shadow"
    path.write_text(SECRET)
    path.chmod(0o640)
    return path


def is_unharmed(victim: Path) -> bool:
    info = victim.stat()
    return (victim.read_text(), info.st_uid, stat.S_IMODE(info.st_mode)) == (SECRET, os.geteuid(), 0o640)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("owner", [None, pytest.param(SOMEBODY, marks=needs_root)])
def test_a_link_in_the_place_of_a_file_is_replaced(
    tmp_path: Path, victim: Path, link: Callable[[Path, Path], None], owner: User | None
) -> None:
    path = tmp_path / "file"
    link(path, victim)
    write_private(path, "a password", owner=owner)
    info = path.lstat()
    assert (stat.S_ISREG(info.st_mode), stat.S_IMODE(info.st_mode), info.st_nlink) == (True, 0o600, 1)
    assert info.st_uid == (os.geteuid() if owner is None else owner.uid)
    assert path.read_text() == "a password"
    assert is_unharmed(victim)


@needs_root
def test_the_password_file_follows_no_link_of_the_servers_user(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir(mode=0o700)
    os.chown(folder, *SOMEBODY)
    (folder / "data.password").symlink_to(victim)
    server = PostgresServer(
        Installation(Path("/nowhere"), user=SOMEBODY),
        data=folder / "data",
        log=tmp_path / "log",
        listen=Loopback(1, "the password"),
    )
    with server._password_file("the password") as path:
        assert (path.read_text(), path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (
            "the password",
            SOMEBODY.uid,
            0o600,
        )
        assert is_unharmed(victim)
    assert not path.exists()
    assert is_unharmed(victim)


@needs_root
def test_a_folder_is_given_away_by_its_number_and_a_link_never(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(LocalStackError, match="must be a folder, and is a link"):
        Home(tmp_path, SOMEBODY).data("run")
    assert (tmp_path / "real").stat().st_uid == 0
    assert own_folder(tmp_path / "new", owner=SOMEBODY).stat().st_uid == SOMEBODY.uid


def test_a_lock_is_never_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        open_lock(tmp_path / "lock")
    os.close(open_lock(tmp_path / "another"))
    assert is_unharmed(victim)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
def test_what_is_no_file_of_the_servers_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "postmaster.pid"
    make(path)
    with pytest.raises(OSError, match=r"symbolic links|ordinary"):
        read_foreign(path)


@pytest.mark.parametrize(
    ("mode", "owner"), [(0o777, None), (0o1777, None), pytest.param(0o755, SOMEBODY, marks=needs_root)]
)
def test_a_stack_in_a_folder_that_others_can_write_does_not_start(
    open_place: Place, victim: Path, mode: int, owner: User | None
) -> None:
    open_place.folder.mkdir()
    (open_place.folder / "stack.lock").symlink_to(victim)
    open_place.folder.chmod(mode)
    if owner is not None:
        os.chown(open_place.folder, *owner)
    with (
        pytest.raises(LocalStackError, match="must be a folder of user"),
        LocalStack(open_place.folder, mqtt_port=0, base=open_place.base),
    ):
        pass
    assert is_unharmed(victim)


def test_a_link_in_the_place_of_the_stacks_lock_stops_it(open_place: Place, victim: Path) -> None:
    open_place.folder.mkdir()
    (open_place.folder / "stack.lock").symlink_to(victim)
    with (
        pytest.raises(LocalStackError, match=r"stack\.lock cannot be opened"),
        LocalStack(open_place.folder, mqtt_port=0, base=open_place.base),
    ):
        pass
    assert is_unharmed(victim)
