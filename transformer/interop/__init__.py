"""Import of models made elsewhere, and export of ours to other formats."""
