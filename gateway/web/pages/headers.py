"""The headers of whatever a browser shows as a page: it runs our scripts and styles, talks to us, and nothing else."""

from types import MappingProxyType

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
}
_SINKS = {"require-trusted-types-for": "'script'", "trusted-types": "'none'"}
"""No script may make HTML from text: the browser throws where one tries."""
_FEATURES = ("accelerometer", "camera", "geolocation", "gyroscope", "microphone", "payment", "usb")


def content_policy(*, trusted_types: bool = True, **more: str) -> str:
    """Return a Content-Security-Policy (CSP 3); `more` replaces directives, written with `_` for `-`."""
    policy = _POLICY | (_SINKS if trusted_types else {})
    policy |= {name.replace("_", "-"): sources for name, sources in more.items()}
    return "; ".join([f"{name} {sources}" for name, sources in policy.items()])


def page_headers(policy: str) -> dict[str, str]:
    """Return the headers of a page with this policy."""
    return {
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": ", ".join([f"{feature}=()" for feature in _FEATURES]),
    }


PAGE = MappingProxyType(page_headers(content_policy()))
"""Of the fleet page and its assets."""
