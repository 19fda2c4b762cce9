"""The process that drains the training loop into a run directory."""
