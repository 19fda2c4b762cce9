"""What attention shows, and what it causes: numbers about heads and outputs, without figures."""
