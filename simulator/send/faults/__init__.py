"""What goes wrong on purpose: which post gets which fault, what that does to it, and what the right answer is."""
