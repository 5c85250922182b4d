"""The names that an adapter file for `--target custom` may use; docs/simulator.md has an example. Holds nothing."""

from simulator.core.errors import ConnectionLost, Unreachable
from simulator.core.errors import Refused as ReadingsRefused
from simulator.plan.faults import Fault
from simulator.plan.plan import Part, Plan
from simulator.send.drivers.http import HttpClient, Request
from simulator.send.drivers.http_reader import Response
from simulator.send.encode import Head, Post, Run
from simulator.send.loads.truth import HARMLESS, Expected, Truths
from simulator.send.receipts import Answer
from simulator.send.target import Codec, Source, Target
from simulator.targets.registration import device_names
from simulator.verify.history import ByDevice, Found, kind_of

__all__ = [
    "HARMLESS", "Answer", "ByDevice", "Codec", "ConnectionLost", "Expected", "Fault", "Found", "Head",
    "HttpClient", "Part", "Plan", "Post", "ReadingsRefused", "Request", "Response", "Run", "Source", "Target",
    "Truths", "Unreachable", "device_names", "kind_of",
]  # fmt: skip
