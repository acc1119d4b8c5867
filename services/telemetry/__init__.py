"""What a process lets be seen of itself: log, traces, figures, checks."""
