"""Lessons: ordered exercises read from text files, and their worksheets. Needs no torch."""
