"""Models that were made elsewhere, and ours made ready for elsewhere."""
