"""Senoscope: read breast images, find, outline and classify lesions, and say when it does not know."""

__version__ = "0.1.0"
