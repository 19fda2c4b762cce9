"""A person's own pairs: reading them, surveying them, learning them."""
