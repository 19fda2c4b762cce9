"""The trainer process: runs the training loop and writes its results into a run directory."""
