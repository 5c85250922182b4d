"""A plugin of pytest: whatever goes wrong around a test is told as that test's failure, and never ends its worker.

What pytest or a plugin raises while an outcome is being told (a report that cannot be sent, a failure that cannot be
shown) is an INTERNALERROR otherwise: the worker of pytest-xdist ends, the tests that it still had are not run, and the
run may even end with 0. An internal error that is left is repeated at the very end of the output, and makes it fail.
"""

import sys
import traceback
from collections.abc import Generator
from typing import Any

import execnet
import pytest

_FRAMES = 40
"""Of a traceback, shown at most; the last ones."""
_LINES = 60
"""Of an internal error, repeated at most; the last ones."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Run a test; what is raised outside of its setup, call and teardown fails it."""
    try:
        return (yield)
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException as exc:  # noqa: BLE001 -- SystemExit, too, may come out of a __repr__
        _tell(item, nextitem, exc)
        return True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, object, object]:
    """Keep why a test failed where that cannot be shown (CPython issue 106905: SystemError out of ast.parse)."""
    try:
        return (yield)
    except BaseException as exc:
        if call.excinfo is not None:
            exc.add_note("the test itself had raised:\n" + _text_of(call.excinfo.value))
        raise


def _tell(item: pytest.Item, nextitem: pytest.Item | None, exc: BaseException) -> None:
    text = "raised while the outcome of this test was being told:\n" + _text_of(exc)
    try:
        item.session._setupstate.teardown_exact(nextitem)  # it has not come to that, or has done it already
    except BaseException as more:  # noqa: BLE001
        text += "\nand at its teardown:\n" + _text_of(more)
    report = pytest.TestReport(item.nodeid, item.location, {}, outcome="failed", longrepr=text, when="teardown")
    item.ihook.pytest_runtest_logreport(report=report)


def _text_of(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc, limit=-_FRAMES))


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Make a report such that it can be sent: a worker's is, even that of a test that passed and logged something."""
    data = yield
    try:
        execnet.dumps(data)
    except execnet.DumpError:
        return {key: _sendable(value) for key, value in (data or {}).items()}
    return data


def _sendable(value: object) -> object:
    """Return what execnet can send: only built-in types, and text without lone surrogates."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_sendable, value))
    if isinstance(value, list):
        return list(map(_sendable, value))
    return value if value is None or type(value) in {bool, int, float, bytes} else _sendable(repr(value))


class _LastWords:
    """Of the process that people see."""

    def __init__(self) -> None:
        self._errors: list[str] = []

    def pytest_internalerror(self, excrepr: object) -> None:
        """Keep it for the end; that of a worker comes here, too."""
        self._errors.append(str(excrepr))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail: tests were not run, whatever else is said."""
        if self._errors:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Repeat the first one, which the others follow from, as the end of a long output may be all that is kept."""
        for error in self._errors[:1]:
            sys.stderr.write("\n".join(["", "the first internal error:", *error.splitlines()[-_LINES:], ""]))


def pytest_configure(config: pytest.Config) -> None:
    """See to the last words, but in a worker, whose internal errors are sent to the controller."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_LastWords(), "last-words")
