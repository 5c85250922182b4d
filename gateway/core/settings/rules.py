"""Settings of the rules: devices and their clocks, and the log."""

from typing import Annotated, Literal

from msgspec import Meta

from gateway.core.settings.section import Count, Section


class DeviceSettings(Section, frozen=True):
    """The registry's rules."""

    unknown: Annotated[Literal["refuse", "auto"], Meta(description="What to do with a device never heard of.")] = (
        "refuse"
    )
    max_auto: Annotated[
        Count, Meta(description="Devices there may be while `auto` makes more; beyond it they must be registered.")
    ] = 1_000_000
    new_per_sec: Annotated[
        Count, Meta(description="Devices that `auto` makes for one credential a second, ten seconds' worth at once.")
    ] = 10_000
    all_new_per_sec: Annotated[Count, Meta(description="And for all of them together.")] = 20_000
    new_metrics_per_sec: Annotated[
        Count,
        Meta(
            description="Metrics in sets that were never reported before, of one credential a second, ten seconds'"
            " worth at once; what is beyond is refused, known ones never."
        ),
    ] = 1000
    all_new_metrics_per_sec: Annotated[Count, Meta(description="And of all of them together.")] = 5000
    max_metrics: Annotated[Count, Meta(description="Metrics a device may have.")] = 500
    max_shapes: Annotated[
        Count, Meta(description="Shapes a device may have; further ones are stored as one message per metric.")
    ] = 100
    kind_change: Annotated[
        Literal["keep", "refuse"],
        Meta(description="A metric that changes its kind: keep both kinds, or refuse the reading."),
    ] = "keep"
    conflict: Annotated[
        Literal["keep_first", "overwrite"],
        Meta(description="Same device, metrics and time with other values: keep the first, or overwrite it."),
    ] = "keep_first"
    offline_after_secs: Annotated[
        Count, Meta(description="A device whose newest reading is older than this is shown as offline.")
    ] = 900


class ClockSettings(Section, frozen=True):
    """What to do with device clocks."""

    max_ahead_secs: Annotated[Count, Meta(description="How far a timestamp may lie ahead of ours.")] = 300
    ahead: Annotated[
        Literal["refuse", "clamp"],
        Meta(description="A timestamp further ahead: refuse it, or store it at the time of receipt."),
    ] = "refuse"


class LogSettings(Section, frozen=True):
    """Logs, as JSON lines on stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe line that is written.")
    ] = "info"
