"""The words of the trade, and the contracts between stages. No input or output, no clock, no task of its own."""
