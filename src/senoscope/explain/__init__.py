"""Where an answer came from, one method per file."""
