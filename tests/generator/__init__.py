"""What the simulator itself costs, against sinks that acknowledge everything. By hand: `python -m tests.generator`."""
