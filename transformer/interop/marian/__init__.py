"""MarianMT models of Hugging Face, in and out."""
