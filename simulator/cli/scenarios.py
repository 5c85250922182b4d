"""The commands that tell what would be sent: `scenarios`, `schema`, `payloads`. They send nothing."""

import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from simulator.plan.faults import AGAIN
from simulator.plan.load import LoadOptions
from simulator.plan.options import TargetOptions
from simulator.plan.plan import Part
from simulator.plan.scenario import listed
from simulator.plan.scenario import schema as schema_of
from simulator.send.loads.script import Job, Script
from simulator.send.pacing import Turn
from simulator.send.target import Target
from simulator.targets.choose import fitted, target_of


def scenarios() -> int:
    """List the scenarios that come with the simulator, each with a sentence."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for name, scenario in listed():
        size = f"{scenario.devices:,} devices, {scenario.rate:,.0f}/s, {scenario.duration:,.0f} s"
        table.add_row(name, f"{scenario.title} ({size})")
    Console().print(table, highlight=False)
    return 0


def schema() -> int:
    """Print the JSON Schema of a scenario file."""
    print(schema_of().decode())
    return 0


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadOptions:
    """What `simulator payloads` takes beside the scenario."""

    count: int = 20
    """Posts to print of each part."""
    load: LoadOptions = field(default_factory=LoadOptions)
    aim: TargetOptions = field(default_factory=TargetOptions)


def payloads(scenario: str | None = None, /, options: PayloadOptions = PayloadOptions()) -> int:
    """Print the first posts of a run, one a line: transport, topic or address, encoding, and the body.

    The body is Base64 where it is not text, and a line break in it is shown as a backslash and an n. With --seed, --run
    and --start-ms the same scenario prints the same bytes.

    Parameters
    ----------
    scenario
        Name of a scenario, or a TOML file. Without one: numbers at a steady rate.
    """
    plan = options.aim.aimed(options.load.plan(scenario, now_ms=time.time_ns() // 1_000_000))
    target = target_of(plan.target)
    plan = fitted(target, plan)
    for part in plan.parts():
        for line in islice(payloads_of(part, target), options.count):
            print(line)
    return 0


def payloads_of(part: Part, target: Target) -> Iterator[str]:
    """Yield a line for each post, and for what is sent after it: transport, address, encoding, fault, body."""
    script = Script(part, target)
    for slot in range(part.lane.posts):
        job = script.job(Turn(slot, part.timetable.due(slot)))
        yield _line(part, job)
        if job.fault in AGAIN:
            yield _line(part, script.again(job))


def _line(part: Part, job: Job) -> str:
    post = job.post
    address = post.topic.decode() or post.head.path.partition("?")[0]
    try:
        body = post.body.decode()
    except UnicodeDecodeError:
        body = b64encode(post.body).decode()
    one_line = body.rstrip().replace("\n", "\\n")
    return f"{part.lane.transport} {address} {post.encoding or 'identity'} {job.fault.value} {one_line}"
