"""Training: a recipe in, a run out. Needs the ``train`` extra."""
