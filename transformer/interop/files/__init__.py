"""Opens untrusted files: checks their sizes first, and runs no code from them."""
