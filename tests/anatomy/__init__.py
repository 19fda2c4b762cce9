"""Tests of transformer/anatomy."""
