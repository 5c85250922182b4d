"""Commands find the gateway that `gateway up` runs in this folder, unless they are told of another."""

from pathlib import Path

import pytest

from gateway.app.cli.target import command_settings

LENT = "postgresql://postgres@/postgres?host=/run/lent"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "stack.env").write_text(f"# a comment\nGATEWAY_DATABASE__URL={LENT}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATABASE__URL", "")
    monkeypatch.delenv("GATEWAY_DATABASE__URL")
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    return tmp_path


def test_a_running_stack_lends_its_addresses_and_its_spool(folder: Path) -> None:
    settings = command_settings()
    assert settings.database.url == LENT
    assert Path(settings.spool.dir) == Path(".local/spool")


def test_the_environment_and_a_named_file_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = folder / "other.toml"
    named.write_text('\N{BYTE ORDER MARK}[database]\r\nurl = "postgresql://other"\r\n')  # as an editor of Windows
    assert command_settings(named).database.url == "postgresql://other"
    monkeypatch.setenv("GATEWAY_DATABASE__URL", "postgresql://mine")
    settings = command_settings()
    assert settings.database.url == "postgresql://mine"
    assert settings.spool.dir == "spool"
