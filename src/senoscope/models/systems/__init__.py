"""One system of the literature per file."""
