"""Import of captures: recordings of a running model, converted without relying on names."""
