"""The door: what happens when a file is brought to the Checkpoints page."""
