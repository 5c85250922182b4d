"""What a trial gives back: figures for people, and what went wrong. Never prints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BAD = ("lost", "duplicated", "wrong", "unexpected", "state_wrong")


@dataclass
class Trial:
    """One trial: a fault of its own kind that is not struck at random, such as an overload."""

    name: str
    figures: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def expect(self, *, that: bool, else_say: str) -> None:
        """Note a trouble unless it is as it must be."""
        if not that:
            self.troubles.append(else_say)

    def take_verdict(self, code: int, report: Mapping[str, Any], output: str) -> None:
        """Note what the simulator found: all that was acknowledged must be stored once, and shown."""
        verdict = report.get("verdict")
        if not verdict or not verdict["stored_checked"]:
            self.troubles.append(f"the simulator ended with {code} and no verdict:\n{output[-2_000:]}")
            return
        total = verdict["total"]
        acknowledged = sum(int(lane["acknowledged"]) for lane in report["lanes"])
        self.figures["acknowledged"] = f"{acknowledged:,}"
        self.figures["lost, duplicated"] = f"{total['lost']}, {total['duplicated']}"
        self.expect(that=acknowledged > 0, else_say="nothing was acknowledged")
        self.troubles += [f"{total[name]} readings {name}" for name in BAD if total[name]]
        self.troubles += report["failures"]
