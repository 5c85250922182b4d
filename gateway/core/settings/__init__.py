"""Settings: every one, once, as a frozen typed tree. How it is filled is in settings_file.py."""

from gateway.core.settings.front import (
    AuthSettings,
    HttpSettings,
    LimitSettings,
    LiveSettings,
    MqttSettings,
)
from gateway.core.settings.rules import (
    ClockSettings,
    DeviceSettings,
    LogSettings,
)
from gateway.core.settings.section import Section
from gateway.core.settings.stores import (
    AuditSettings,
    DatabaseSettings,
    DeadLetterSettings,
    HistorySettings,
    QueueSettings,
    RedisSettings,
    RetentionSettings,
    SpoolSettings,
)

__all__ = [
    "AuditSettings",
    "AuthSettings",
    "ClockSettings",
    "DatabaseSettings",
    "DeadLetterSettings",
    "DeviceSettings",
    "HistorySettings",
    "HttpSettings",
    "LimitSettings",
    "LiveSettings",
    "LogSettings",
    "MqttSettings",
    "QueueSettings",
    "RedisSettings",
    "RetentionSettings",
    "Section",
    "Settings",
    "SpoolSettings",
]


class Settings(Section, frozen=True):
    """The whole tree."""

    http: HttpSettings = HttpSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    live: LiveSettings = LiveSettings()
    mqtt: MqttSettings = MqttSettings()
    queue: QueueSettings = QueueSettings()
    spool: SpoolSettings = SpoolSettings()
    auth: AuthSettings = AuthSettings()
    devices: DeviceSettings = DeviceSettings()
    clock: ClockSettings = ClockSettings()
    retention: RetentionSettings = RetentionSettings()
    history: HistorySettings = HistorySettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    limits: LimitSettings = LimitSettings()
    audit: AuditSettings = AuditSettings()
    log: LogSettings = LogSettings()
