"""The training loop and what it stands on. Nothing here knows what a run is."""
