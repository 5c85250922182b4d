"""What a part puts on the wire, as lines of text: a part and a target in, posts in the order of sending out. Pure."""

from base64 import b64encode
from collections.abc import Iterator

from simulator.plan.faults import AGAIN
from simulator.plan.plan import Part
from simulator.send.loads.script import Job, Script
from simulator.send.pacing import Turn
from simulator.send.target import Target


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
