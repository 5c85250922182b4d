"""What the whole simulator stands on: errors, addresses, times, chance. Imports nothing of ours."""
