"""What a run is: scenarios, options and the plan that follows from them, down to each post and its fault. No I/O."""
