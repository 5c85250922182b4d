"""Whatever bounds what one worker takes on."""
