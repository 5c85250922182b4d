"""Items: a posted one → its messages, and the flaws of what is not shaped like one. Pure; never looks at a value."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gateway.domain.json_text import pairs_of, repeated_key
from gateway.domain.layouts import MAX_METRICS
from gateway.domain.names import METRIC_NAME
from gateway.domain.reasons import Reason
from gateway.domain.refusals import bare, pointer
from gateway.ingest.wire.pointers import Form
from gateway.ingest.wire.values import Flaw

Posted = dict[str, Any]
"""A JSON object, a `json_text.Repeated` if it repeats a key."""

FIELDS = {
    Form.FLAT: frozenset({"device", "ts", "metric", "value"}),
    Form.VALUES: frozenset({"device", "ts", "values"}),
    Form.READINGS: frozenset({"device", "readings"}),
    Form.COLUMNS: frozenset({"device", "ts", "values"}),
}
TOO_WIDE = bare("metrics in one message")
MOMENT_FIELDS = frozenset({"ts", "values"})


class Said(NamedTuple):
    """One message as posted."""

    sub: int
    """Its number in the item."""
    ts: Any
    values: dict[str, Any]


def to_form(item: Posted) -> Form:
    """Tell which of the four shapes an item has, by its fields."""
    if "readings" in item:
        return Form.READINGS
    if "metric" in item or "value" in item:
        return Form.FLAT
    return Form.COLUMNS if isinstance(item.get("ts"), list) else Form.VALUES


def width(item: Posted, form: Form) -> int:
    """Count the readings an item holds; a part that holds none, or cannot be counted, is one."""
    held, measure = _HOLDS[form]
    return max(1, sum(measure(part) for key, part in pairs_of(item) if key == held))


def said_twice(item: Posted, form: Form) -> Flaw | None:
    """Refuse an item that says a thing twice, in itself or in its values: only one of both could be kept."""
    flaw = _repeated(item, "", values=form in (Form.VALUES, Form.COLUMNS))
    return flaw and flaw._replace(readings=width(item, form))


def _repeated(holder: Posted, below: str, *, values: bool = True) -> Flaw | None:
    key = repeated_key(holder)
    if key is not None:
        return Flaw(Reason.DUPLICATE_KEY, f"{below}/{pointer(key)}", value=key)
    metric = repeated_key(holder.get("values")) if values else None
    if metric is None:
        return None
    return Flaw(Reason.DUPLICATE_KEY, f"{below}/values/{pointer(metric)}", value=metric, metric=metric)


def unknown_field(item: Posted, form: Form) -> Flaw | None:
    """Refuse an item with a field that its shape does not have: it may be a misspelt one."""
    unknown = next((key for key in item if key not in FIELDS[form]), None)
    if unknown is None:
        return None
    return Flaw(Reason.UNKNOWN_FIELD, f"/{pointer(unknown)}", width(item, form), unknown)


def messages(item: Posted, form: Form) -> Iterator[Said | Flaw]:
    """Yield the messages of an item in posted order; each has at least one value."""
    if form is Form.FLAT:
        yield _flat(item)
    elif form is Form.VALUES:
        yield _said(0, item, "")
    elif form is Form.COLUMNS:
        yield from _columns(item)
    elif isinstance(item["readings"], list) and item["readings"]:
        yield from (_moment(sub, moment) for sub, moment in enumerate(item["readings"]))
    else:
        yield Flaw(Reason.NO_VALUES, "/readings")


def _flat(item: Posted) -> Said | Flaw:
    metric = item.get("metric")
    if "value" not in item:
        return Flaw(Reason.NO_VALUES)
    if not isinstance(metric, str) or not METRIC_NAME.fullmatch(metric):
        name = metric if isinstance(metric, str) else None
        return Flaw(Reason.BAD_METRIC_NAME, "/metric" if "metric" in item else "", value=metric, metric=name)
    return Said(0, item.get("ts"), {metric: item["value"]})


def _said(sub: int, holder: Posted, below: str) -> Said | Flaw:
    """Read the fields `ts` and `values` of an item or a moment at this place."""
    values = holder.get("values")
    if isinstance(values, dict) and values:
        return Said(sub, holder.get("ts"), values)
    return Flaw(Reason.NO_VALUES, f"{below}/values" if "values" in holder else below)


def _moment(sub: int, moment: Any) -> Said | Flaw:
    below = f"/readings/{sub}"
    if not isinstance(moment, dict):
        return Flaw(Reason.BAD_ITEM, below, value=moment)
    repeated = _repeated(moment, below)
    if repeated is not None:
        return repeated._replace(readings=_moment_width(moment))
    unknown = next((key for key in moment if key not in MOMENT_FIELDS), None)
    if unknown is not None:
        return Flaw(Reason.UNKNOWN_FIELD, f"{below}/{pointer(unknown)}", _moment_width(moment), unknown)
    return _said(sub, moment, below)


def _columns(item: Posted) -> Iterator[Said | Flaw]:
    stamps, columns = item["ts"], item.get("values")
    if not isinstance(columns, dict) or not columns:
        yield Flaw(Reason.NO_VALUES, "/values" if "values" in item else "")
        return
    if len(columns) > MAX_METRICS:
        yield Flaw(Reason.SERIES_LIMIT, "/values", _table_width(columns), TOO_WIDE, MAX_METRICS)
        return
    flaws = {metric: _column_flaw(metric, column, len(stamps)) for metric, column in columns.items()}
    yield from (flaw for flaw in flaws.values() if flaw is not None)
    good = {metric: columns[metric] for metric, flaw in flaws.items() if flaw is None}
    for sub, ts in enumerate(stamps if good else ()):
        yield Said(sub, ts, {metric: column[sub] for metric, column in good.items()})


def _column_flaw(metric: str, column: Any, rows: int) -> Flaw | None:
    """Look at a column as a whole, its name too: a long name that is refused once a row is an attack."""
    length = len(column) if isinstance(column, list) else None
    flaw = Flaw(Reason.NO_VALUES, f"/values/{pointer(metric)}", _column_width(column), metric=metric)
    if not METRIC_NAME.fullmatch(metric):
        return flaw._replace(reason=Reason.BAD_METRIC_NAME, value=metric)
    if length != rows:
        shown = bare("no list of") if length is None else length
        return flaw._replace(reason=Reason.LENGTH_MISMATCH, value=shown, limit=rows)
    return None if rows else flaw


def _moments_width(moments: Any) -> int:
    if not isinstance(moments, list):
        return 1
    return sum(  # a hundred thousand are counted in one step
        [
            len(values) or 1 if type(one) is dict and type(values := one.get("values")) is dict else _moment_width(one)
            for one in moments
        ]
    )


def _moment_width(moment: Any) -> int:
    if not isinstance(moment, dict):
        return 1
    return max(1, sum(_values_width(part) for key, part in pairs_of(moment) if key == "values"))


def _values_width(values: Any) -> int:
    return max(1, len(pairs_of(values))) if isinstance(values, dict) else 1


def _table_width(columns: Any) -> int:
    if not isinstance(columns, dict):
        return 1
    return max(1, sum([len(column) or 1 if type(column) is list else 1 for _, column in pairs_of(columns)]))


def _column_width(column: Any) -> int:
    return max(1, len(column)) if isinstance(column, list) else 1


_HOLDS: dict[Form, tuple[str, Callable[[Any], int]]] = {
    Form.FLAT: ("value", lambda _: 1),
    Form.VALUES: ("values", _values_width),
    Form.READINGS: ("readings", _moments_width),
    Form.COLUMNS: ("values", _table_width),
}
"""Which field of an item holds its readings, and how many they are."""
