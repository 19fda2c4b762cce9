"""Lessons: exercises in an order, read from text files, and the worksheet of one. No torch."""
