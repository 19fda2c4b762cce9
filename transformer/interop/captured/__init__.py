"""Captures of a model at work: the import that reads no names."""
