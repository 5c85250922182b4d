"""The yardstick: a fixed piece of Python, to tell by its count how dear instructions of this interpreter are.

It does what a request does: calls methods, makes tuples, dicts and lists, cuts and joins bytes. Never change it: every
stored ratio is to it.
"""

ROUNDS = 300


class _Cell:
    __slots__ = ("_kept", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._kept: dict[str, tuple[int, ...]] = {}

    def keep(self, key: str, *values: int) -> int:
        self._kept[key] = values
        return len(self._kept)

    @property
    def total(self) -> int:
        return sum(map(sum, self._kept.values()))


def measure(rounds: int = ROUNDS) -> int:
    """Do the work; the result is always the same."""
    result = 0
    for number in range(rounds):
        cell = _Cell(f"d{number:04}")
        for place in range(8):
            try:
                result += cell.keep(f"m{place % 6}", number, place, number ^ place)
            except KeyError:
                result -= 1
        body = b'{"device":"%b","ts":%d}' % (cell.name.encode(), number)
        head, _, rest = body.partition(b",")
        result += cell.total + len(head) + len(rest.split(b":"))
        result += len(b"".join([bytes((size & 0xFF,)) for size in sorted([len(head), number, place])]))
        result += len({value: key for key, value in enumerate((head, rest, body))})
    return result
