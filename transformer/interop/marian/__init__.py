"""Import and export of MarianMT models of Hugging Face."""
