"""`python -m tests.fuzz.with_atheris TARGET SEEDS FOUND SECONDS`: a search that looks which lines an input reaches."""

import sys

import atheris

LONGEST = 8_192
"""Bytes of an input."""
STUCK_SECS = 10
RSS_MIB = 2_048


def main() -> None:
    """Instrument the gateway, and search."""
    name, seeds, found, secs = sys.argv[1:]
    with atheris.instrument_imports(include=["gateway"]):
        from tests.fuzz import targets  # noqa: F401, PLC0415 - imported here to be instrumented
    from tests.fuzz.target import TARGETS  # noqa: PLC0415

    words = {
        "max_total_time": secs, "max_len": LONGEST, "timeout": STUCK_SECS, "rss_limit_mb": RSS_MIB,
        "artifact_prefix": f"{found}/", "print_final_stats": 1, "verbosity": 0,
    }  # fmt: skip
    folders = [seeds, *([str(TARGETS[name].folder)] if TARGETS[name].folder.exists() else [])]
    atheris.Setup([name, *(f"-{word}={value}" for word, value in words.items()), *folders], TARGETS[name].check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
