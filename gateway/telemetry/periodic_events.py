"""What happens to chores, beside what each says of its failures. Like events.py: says, never raises, never waits."""

from gateway.telemetry.events import say


def recovered(chore: str, *, failures: int, secs: float) -> None:
    """Say that a chore that had failed is done again: how often it had failed, and for how long."""
    sentence = "Works again."
    say("info", "chore_recovered", sentence, chore=chore, failures=failures, secs=round(secs, 1), apart=chore)
