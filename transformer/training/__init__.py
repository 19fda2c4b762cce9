"""The training loop and its parts: batches, optimizer, precision, threads; independent of runs."""
