"""A batch in parts: its messages in their order, their places, and one outcome from those of the parts."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.layouts import Layouts
from gateway.domain.model import Outcome
from gateway.ingest.receipts import join
from tests.builders.batches import Message, batch
from tests.unit.ingest.wire.decoded import to_messages

VALUES = st.floats(-10, 10) | st.booleans() | st.integers(0, 9) | st.text(max_size=3)
MESSAGES = st.tuples(
    st.sampled_from("ab"), st.integers(0, 9), st.dictionaries(st.sampled_from("xyz"), VALUES, min_size=1)
)


@given(messages=st.lists(MESSAGES, min_size=1, max_size=20), most=st.integers(1, 8))
def test_the_parts_of_a_batch_are_the_batch(messages: list[Message], most: int) -> None:
    layouts = Layouts()
    whole = batch(layouts, *messages)
    parts = whole.split(most)
    assert [len(part) for part in parts[:-1]] == [most] * (len(parts) - 1)
    assert [one for part in parts for one in to_messages(part, layouts)] == to_messages(whole, layouts)
    assert sum(part.readings for part in parts) == whole.readings
    places = [part.origins.locate(i, "x") for part in parts for i in range(len(part))]
    assert places == [whole.origins.locate(i, "x") for i in range(len(whole))]


def test_outcomes_of_parts_are_one() -> None:
    stored, spooled = Outcome(5, 2, [0, 3], [(1, "no")]), Outcome(4, 0, [2], [], "spool")
    assert join([stored, spooled], [4, 5]) == Outcome(9, 2, [0, 3, 6], [(1, "no")], "spool", 4)
    assert join([stored, stored], [4, 4]) == Outcome(10, 4, [0, 3, 4, 7], [(1, "no"), (5, "no")])
    assert join([spooled, spooled], [5, 5]) == Outcome(8, 0, [2, 7], [], "spool")
