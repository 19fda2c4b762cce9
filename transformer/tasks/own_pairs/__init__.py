"""The user's own pairs: reading them, surveying them, learning them."""
