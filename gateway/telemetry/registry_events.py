"""Events of the registry, beside the changes themselves, one function each. Never raises, never waits."""

from gateway.core.errors import GatewayError
from gateway.telemetry.events import say


def removal_left(exc: GatewayError) -> None:
    """Say that a removed device's readings or state are still there; sweeping goes on with them."""
    sentence = "A device is removed, and its readings or its state not yet; trying again."
    say("warning", "removal_left", sentence, error=exc.message)


def sweep_failed(exc: Exception) -> None:
    """Say that what is left of removed devices could not be removed."""
    unexpected = None if isinstance(exc, GatewayError) else exc
    sentence = "Cannot sweep up after removed devices; trying again."
    say("warning", "sweep_failed", sentence, error=str(exc), exc_info=unexpected)


def audit_purge_failed(exc: Exception) -> None:
    """Say that old lines of the audit could not be removed."""
    unexpected = None if isinstance(exc, GatewayError) else exc
    sentence = "Cannot remove old lines of the audit; trying again."
    say("warning", "audit_purge_failed", sentence, error=str(exc), exc_info=unexpected)


def trouble(exc: GatewayError | None) -> None:
    """Say that changes of the registry cannot be followed (what is cached stays in use), or that they can again."""
    if exc is None:
        say("info", "registry_back", "Following changes of the registry again.")
    else:
        say("warning", "registry_trouble", "Cannot follow changes of the registry.", error=exc.message)


def failed(exc: BaseException) -> None:
    """Say that following the registry met a mistake of ours and begins anew."""
    say("error", "registry_failed", "Following changes of the registry failed; beginning anew.", exc_info=exc)
