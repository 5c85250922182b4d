"""What the gateway says about itself: `metrics` declares every number, `events` says and counts what happens."""
