"""A run as one page to keep or to hand in, and such pages read again. Loads no torch."""
