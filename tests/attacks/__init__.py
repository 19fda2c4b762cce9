"""Malicious files, damaged folders and simultaneous users: nothing breaks and nothing is lost."""
