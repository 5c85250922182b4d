"""What the whole simulator stands on: errors, addresses, chance, signals. Imports nothing of ours."""
