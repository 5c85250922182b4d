"""What a bench says of the interpreter that it runs on."""

import platform
import sysconfig

import pytest

from simulator.measure.bench.interpreter import describe_python


@pytest.mark.parametrize(
    ("options", "schemes", "told"),
    [
        ("'--enable-optimizations' '--with-lto=full'", (), "(with PGO and LTO)"),
        ("'--enable-shared'", (), "(without PGO and LTO)"),
        ("'--enable-optimizations'", (), "(with PGO, without LTO)"),
        (None, (), "(without PGO and LTO)"),
        ("'--enable-shared'", ("deb_system",), "(Debian's build)"),
    ],
)
def test_the_build_is_told(
    monkeypatch: pytest.MonkeyPatch, options: str | None, schemes: tuple[str, ...], told: str
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": options}.get)
    monkeypatch.setattr(sysconfig, "get_scheme_names", lambda: schemes)
    assert describe_python() == f"CPython {platform.python_version()} {told}"
