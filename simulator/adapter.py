"""What an adapter file for `--target custom` may use, in one place; docs/simulator.md has an example. Holds nothing."""

from simulator.drivers.http import HttpClient, Request
from simulator.drivers.http_reader import Response
from simulator.encode import Head, Post, Run
from simulator.enrolment import device_names
from simulator.errors import ConnectionLost, Unreachable
from simulator.faults.kinds import Fault
from simulator.faults.truth import HARMLESS, Expected, Truths
from simulator.plan import Part, Plan
from simulator.receipts import Answer
from simulator.targets.target import Codec, Target
from simulator.verify.by_device import ByDevice, Found, kind_of
from simulator.verify.source import ReadingsRefused, Source

__all__ = [
    "HARMLESS",
    "Answer",
    "ByDevice",
    "Codec",
    "ConnectionLost",
    "Expected",
    "Fault",
    "Found",
    "Head",
    "HttpClient",
    "Part",
    "Plan",
    "Post",
    "ReadingsRefused",
    "Request",
    "Response",
    "Run",
    "Source",
    "Target",
    "Truths",
    "Unreachable",
    "device_names",
    "kind_of",
]
