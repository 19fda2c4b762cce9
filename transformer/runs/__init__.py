"""Run directories: what a trainer writes and everyone else reads. Nothing here loads torch."""
