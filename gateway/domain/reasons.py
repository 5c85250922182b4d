"""Reasons for refusing one reading, message or item: a closed list. What each says is in refusals.py."""

from enum import StrEnum


class Reason(StrEnum):
    """Why one reading, message or item may not come in. Stable: clients match on these."""

    BAD_ITEM = "bad_item"
    UNKNOWN_FIELD = "unknown_field"
    DUPLICATE_KEY = "duplicate_key"
    NO_VALUES = "no_values"
    LENGTH_MISMATCH = "length_mismatch"
    MISSING_DEVICE = "missing_device"
    BAD_DEVICE_NAME = "bad_device_name"
    DEVICE_MISMATCH = "device_mismatch"
    DEVICE_FORBIDDEN = "device_forbidden"
    UNKNOWN_DEVICE = "unknown_device"
    DEVICE_DISABLED = "device_disabled"
    BAD_METRIC_NAME = "bad_metric_name"
    BAD_TIMESTAMP = "bad_timestamp"
    TOO_FAR_AHEAD = "too_far_ahead"
    TOO_OLD = "too_old"
    BAD_VALUE = "bad_value"
    NOT_FINITE = "not_finite"
    INT_OUT_OF_RANGE = "int_out_of_range"
    BAD_TEXT = "bad_text"
    TEXT_TOO_LONG = "text_too_long"
    SERIES_LIMIT = "series_limit"
    DEVICE_LIMIT = "device_limit"
    NEW_METRICS_LIMIT = "new_metrics_limit"
    TYPE_CONFLICT = "type_conflict"
    CONFLICT = "conflict"
    REJECTED_BY_DATABASE = "rejected_by_database"
