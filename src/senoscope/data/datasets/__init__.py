"""One public dataset per file: ``read(root)`` turns its owner's folder into Records."""
