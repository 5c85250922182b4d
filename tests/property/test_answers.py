"""Answers are encoded from structs as they were from dicts: byte for byte, whatever a device sends."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.timestamps import to_rfc3339
from gateway.domain.model import Kind, Value
from gateway.web.handlers.newest import to_answer
from tests.integration.web_server import NOW_US, known_state

DOUBLES = st.floats() | st.floats(1e15, 1e17) | st.integers(-(2**70), 2**70).map(float)
VALUES = DOUBLES | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
READINGS = st.tuples(VALUES, st.integers(0, NOW_US), st.sampled_from(Kind))


@given(st.dictionaries(st.text(max_size=9), READINGS, max_size=5), st.sampled_from(["redis", "db"]))
def test_the_newest_values_are_written_as_ever(metrics: dict[str, tuple[Value, int, Kind]], source: str) -> None:
    shown = {
        name: {"value": value, "ts": to_rfc3339(us), "kind": kind, "age_ms": (NOW_US - us) // 1000}
        for name, (value, us, kind) in metrics.items()
    }
    answer = to_answer("d1", known_state("d1", metrics, source), None, (), now_us=NOW_US)
    assert answer.body == orjson.dumps({"device": "d1", "metrics": shown, "source": source})
