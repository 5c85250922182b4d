"""The happenings of a state that loses devices, one function each, as in `events`: it counts, and says what matters."""

from gateway.telemetry import events, prometheus


def mended(devices: int) -> None:
    """Count devices that are whole again."""
    if devices:
        prometheus.state_mended.inc(devices)


def mending_failed(exc: BaseException) -> None:
    """Say that mending met a mistake of ours; it goes on."""
    events.say("error", "state_mending_failed", "Filling devices in the state again failed.", exc_info=exc)


def memory(*, evicts: bool, evicted: int) -> None:
    """Set what Redis does when its memory is full."""
    prometheus.state_evicting.set(evicts)
    prometheus.state_evicted_keys.set(evicted)


def policy_changed(policy: str, *, evicts: bool) -> None:
    """Say what Redis does when its memory is full, where that matters."""
    if evicts:
        sentence = "Redis drops newest state when its memory is full; set maxmemory-policy to noeviction."
        events.say("warning", "state_evicting", sentence, policy=policy)
    else:
        events.say("info", "state_not_evicting", "Redis drops no newest state any more.", policy=policy)
