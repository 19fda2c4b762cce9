"""Pages about runs and checkpoints to keep or hand in, and reading such pages. No torch."""
