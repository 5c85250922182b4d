from hypothesis import given
from hypothesis import strategies as st

from gateway.web.request_ids import MAX_LENGTH, RequestIds


def test_ours_are_unique_and_differ_between_workers() -> None:
    one, two = RequestIds(), RequestIds()
    made = [ids.choose(None) for ids in (one, two) for _ in range(1000)]
    assert len(set(made)) == 2000


@given(st.text(max_size=2 * MAX_LENGTH))
def test_what_goes_out_is_always_short_printable_ascii(offered: str) -> None:
    chosen = RequestIds("p").choose(offered)
    assert 1 <= len(chosen) <= MAX_LENGTH
    assert all(" " <= char <= "~" for char in chosen)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=MAX_LENGTH))
def test_a_clients_own_id_is_kept(offered: str) -> None:
    assert RequestIds("p").choose(offered) == offered
