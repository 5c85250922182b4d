"""The exceptions of the simulator, every one. Never raised for a bad verdict: that is a report, not an error."""

from typing import TypeVar

_E = TypeVar("_E", bound=Exception)


class SimulatorError(Exception):
    """Something the user has to put right; the message is a sentence that says what. Exit code 2."""


class UsageError(SimulatorError):
    """The options cannot be run as given."""


class Unreachable(SimulatorError):
    """A gateway, broker or database does not answer, or refuses us."""


class Refused(Exception):
    """Whoever was asked does not show us what is stored; the message says why. Then that cannot be checked: no loss."""


class ConnectionLost(Exception):
    """The connection ended before the answer was complete; the request may or may not have been served."""


class ProtocolError(ConnectionLost):
    """The peer sent bytes that are not the protocol; the connection is of no more use."""


def first_of(errors: BaseExceptionGroup[_E]) -> _E:
    """Return the first error of a group, however deep it lies."""
    one = errors.exceptions[0]
    return first_of(one) if isinstance(one, BaseExceptionGroup) else one


def require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
    """Raise UsageError with this sentence if the condition does not hold."""
    if not condition:
        raise UsageError(message)
