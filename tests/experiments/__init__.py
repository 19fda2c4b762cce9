"""Tests of transformer/experiments."""
