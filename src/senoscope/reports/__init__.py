"""Results for a person (HTML), a program (JSON) and as pictures."""
