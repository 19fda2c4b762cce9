"""Scoring a checkpoint, averaging several, and preparing one to be passed on."""
