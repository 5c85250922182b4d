"""The gateway beside what users would pick instead, in one run: `python -m tests.peers`, `make peers`."""
