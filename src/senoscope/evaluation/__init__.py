"""From a prediction table to figures with intervals, and to a report: see ``summary`` and ``report``."""
