"""Measurements of attention heads and their effect on outputs: numbers only, no figures."""
