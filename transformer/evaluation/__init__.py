"""How good a checkpoint is, and what is made of several."""
