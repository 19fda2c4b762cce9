"""Files from elsewhere, measured and opened so that nothing in them runs."""
