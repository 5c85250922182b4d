"""The report of a run: results and a verdict in, one report out, as JSON and as an exit code. Pure; see `screen`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import orjson

from simulator.core.counts import add_up
from simulator.plan.plan import Plan
from simulator.plan.requirements import FOUND, Requirement
from simulator.report.figures import figures_of
from simulator.send.loads.script import Score
from simulator.send.results import WorkerResult, lanes
from simulator.send.timeline import merged
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict
from simulator.watch.summary import NOT_WATCHED, Watch

BUSY_CPU = 0.9
"""Cores from which on a generator process may be the bottleneck."""
_LATE_MS = 20.0
_STOOD_MS = 500.0
_MAX_CODES = 4
_MANY_CONNECTIONS = 1_000
"""So many that one wants to know how long it took to open them."""
MISSED = 99
"""The exit code of a run that was good and did not reach what was required."""


class Report:
    """The whole of a run: `elapsed` in seconds, `cpu` in cores the busiest generator process used while sending.

    Without results of sending (`simulator verify`) `elapsed` is 0, and nothing is told of speed.
    `notes` may still grow.
    """

    def __init__(
        self,
        plan: Plan,
        results: Sequence[WorkerResult],
        *,
        verdict: Verdict | None,
        notes: Sequence[str] = (),
        requirements: Sequence[Requirement] = (),
        watch: Watch = NOT_WATCHED,
        is_interrupted: bool = False,
    ) -> None:
        self.plan = plan
        self.elapsed = max(result.elapsed for result in results)
        self.cpu = max(result.cpu for result in results)
        self.connections = sum(result.connections for result in results)
        self.connecting = max(result.connecting for result in results)
        self.parts = [part for result in results for part in result.parts]
        self.phases = [phase.name for phase in plan.scenario.timeline]
        self.lanes = lanes(self.parts, self.phases)
        self.verdict = verdict
        self.watch = watch
        self.score = _total(part.score for part in self.parts)
        self.timelines = merged([result.timelines for result in results])
        self._notes = notes
        self.is_interrupted = is_interrupted
        """Whether it was told to stop before all was sent."""
        figures = figures_of(self.lanes, elapsed=self.elapsed, wrong_answers=self.wrong_answers, verdict=verdict)
        self.outcomes = [requirement.check(figures) for requirement in requirements]
        if is_interrupted:
            self.outcomes = [one.left_open("the run was interrupted") for one in self.outcomes]

    @property
    def expected_refusals(self) -> int:
        """Readings refused as they had to be."""
        return sum(self.score.refusals.values())

    @property
    def wrong_answers(self) -> int:
        """Answers, and dead letters, that cannot be right."""
        letters = self.verdict.letters if self.verdict else None
        return sum(self.score.wrong.values()) + (letters.missing + letters.unexpected if letters else 0)

    @property
    def failures(self) -> list[str]:
        """What is wrong, in words; empty if all is well."""
        found: list[str] = []
        if not any(lane.acknowledged for lane in self.lanes) and not self.is_empty:
            found.append("nothing was acknowledged")
        if self.wrong_answers:
            found.append(f"{self.wrong_answers:,} wrong answers")
        total = self.verdict.total if self.verdict else Findings()
        for name in FOUND.values():
            count = getattr(total, name)
            found += [f"{count:,} {name.replace('_', ' ')}"] if count else []
        return found

    @property
    def is_empty(self) -> bool:
        """Whether it was interrupted before anything was sent."""
        return self.is_interrupted and not any(lane.sent for lane in self.lanes)

    @property
    def interruption(self) -> str:
        """Say that this was not the whole run, and how much of it; empty if it was."""
        if not self.is_interrupted:
            return ""
        if self.is_empty:
            return "interrupted before anything was sent"
        of = self.plan.scenario.duration
        return f"interrupted after {min(self.elapsed, of):.1f} s of {of:g} s: not the whole run"

    @property
    def missed(self) -> list[str]:
        """The requirements that were not met, in words."""
        return [f"{one.requirement} ({one.told})" for one in self.outcomes if not one.is_met]

    @property
    def exit_code(self) -> int:
        """0 if all is well, 1 if not, 2 if that could not be found out, 99 if only a requirement was missed."""
        if self.failures:
            return 1
        if self.is_empty or (self.verdict is not None and self.verdict.unfinished):
            return 2
        return MISSED if self.missed else 0

    @property
    def held_back(self) -> str:
        """Why the generator itself was the bottleneck; empty if it was not."""
        late = max(lane.lateness.p99 for lane in self.lanes)
        longest = max(lane.lateness.max for lane in self.lanes)
        if self.cpu > BUSY_CPU or late > _LATE_MS:
            cure = "use more --workers" if self.cpu > BUSY_CPU else "the machine was busy with something else"
            return (
                f"the generator itself was held back: {self.cpu:.0%} of a core, late by {late:.0f} ms (p99); "
                f"its figures say little about the gateway; {cure}"
            )
        if longest > _STOOD_MS:
            return f"the generator itself stood still for {longest / 1_000:.1f} s; the latencies contain that"
        return ""

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures has to know."""
        found = [*filter(None, (self.interruption, *self._notes, self.held_back))]
        if self.connections >= _MANY_CONNECTIONS:
            found.append(f"{self.connections:,} MQTT connections, opened in {self.connecting:.1f} s")
        for title, counts in (
            ("faults", [lane.injected for lane in self.lanes]),
            ("refused", [Counter(lane.refused_by_code) - Counter(lane.expected_refusals) for lane in self.lanes]),
            ("tried again", [lane.errors for lane in self.lanes]),
            ("not understood", [lane.faults for lane in self.lanes]),
        ):
            told = [f"{lane.transport}: {_list(each)}" for lane, each in zip(self.lanes, counts, strict=True) if each]
            found += [f"{title} over {'; '.join(told)}"] if told else []
        return found + self._watch_notes() + self._verdict_notes()

    def _watch_notes(self) -> list[str]:
        """Say what was seen late or never, and what could not be watched."""
        watch, found = self.watch, list[str]()
        if self.plan.target.kind != "gateway":
            return found
        for lane in self.lanes:
            for where, seen in (("state", lane.state), ("live stream", lane.stream)):
                if seen is not None and seen.unseen:
                    found.append(
                        f"{seen.unseen:,} messages over {lane.transport} were not seen in the {where} until the end, "
                        f"{seen.examples[0]} among them"
                    )
        again = {reason: count for reason, count in watch.stream_resets.items() if reason != "start"}
        found += [f"the live stream began anew: {_list(again)}"] if again else []
        found += [f"the live stream left out {watch.stream_skipped:,} values"] if watch.stream_skipped else []
        found += self._unwatched_notes()
        return found

    def _unwatched_notes(self) -> list[str]:
        """Say what could not be watched, or only until when."""
        watch, found = self.watch, list[str]()
        if watch.broke_off_s is not None:
            some = f", {watch.unwatched_examples[0]} among them" if watch.unwatched_examples else ""
            found.append(
                f"the watch broke off {watch.broke_off_s:.1f} s after the start: {watch.unwatched:,} messages of "
                f"watched devices, sent then or just before, were not watched{some}"
            )
        if watch.unkept:
            found.append(f"what was seen is not kept beside the ledger to the end: {watch.unkept}")
        is_told = bool(self.elapsed or watch.devices)
        if is_told and watch.state_unwatched == watch.stream_unwatched != "":
            return [*found, f"neither the state nor the live stream was watched: {watch.state_unwatched}"]
        if is_told and watch.state_unwatched:
            found.append(f"the state was not watched: {watch.state_unwatched}")
        if watch.stream_unwatched:
            found.append(f"the live stream was not watched: {watch.stream_unwatched}")
        return found

    def _verdict_notes(self) -> list[str]:
        verdict = self.verdict
        if verdict is None:
            return ["not verified"]
        found = []
        if not verdict.stored_checked:
            found.append(f"what is stored was not looked at: {verdict.stored_unchecked or verdict.unfinished}")
        dropped = verdict.dropped
        if dropped.readings:
            found.append(f"{dropped.readings:,} readings were dropped by the target, {dropped.examples[0]} among them")
        if verdict.states_unchecked:
            found.append(f"states were not checked: {verdict.states_unchecked}")
        if verdict.letters.unchecked:
            found.append(f"dead letters were not looked at: {verdict.letters.unchecked}")
        return found

    def to_json(self) -> bytes:
        """Return the report for programs."""
        verdict: dict[str, Any] | None = None
        if self.verdict is not None:
            verdict = {**asdict(self.verdict), "total": asdict(self.verdict.total)}
        report = {
            "plan": msgspec.to_builtins(self.plan),
            "elapsed_s": self.elapsed,
            "generator_cpu": self.cpu,
            "generator_held_back": self.held_back,
            "mqtt_connections": self.connections,
            "mqtt_connecting_s": self.connecting,
            "acknowledged_per_s": sum(lane.acknowledged for lane in self.lanes) / self.elapsed if self.elapsed else 0.0,
            "lanes": [asdict(lane) for lane in self.lanes],
            "watch": asdict(self.watch),
            "series": {transport: timeline.to_json() for transport, timeline in self.timelines.items()},
            "fleets": [
                {"title": part.title, "transport": part.transport, **msgspec.to_builtins(part.counts)}
                for part in self.parts
            ],
            "expected_refusals": self.expected_refusals,
            "wrong_answers": self.wrong_answers,
            "wrong_examples": [msgspec.to_builtins(example) for example in self.score.examples],
            "verdict": verdict,
            "interrupted": self.is_interrupted,
            "requirements": [asdict(outcome) for outcome in self.outcomes],
            "notes": self.notes,
            "exit_code": self.exit_code,
            "failures": self.failures,
        }
        return orjson.dumps(report, option=orjson.OPT_INDENT_2)


def _total(scores: Any) -> Score:
    total = Score()
    for score in scores:
        add_up(total, score)
    return total


def _list(counts: Mapping[str, int]) -> str:
    most = Counter(counts).most_common(_MAX_CODES)
    more = ", …" if len(counts) > _MAX_CODES else ""
    return ", ".join(f"{code} {count:,}" for code, count in most) + more
