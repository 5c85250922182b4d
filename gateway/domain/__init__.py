"""The words of the trade, and the contracts between rooms. No input or output, no clock, no task of its own."""
