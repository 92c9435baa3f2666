"""Using a trained bundle: from an image to findings, without torch."""
