"""Errors that say what was found, what was expected, and how to mend it."""

from __future__ import annotations


class SenoscopeError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    found: what is wrong, naming the file, row, key or value.
    expected: what would have been right.
    fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, found: str, *, expected: str = "", fix: str = "") -> None:
        self.found = found
        self.expected = expected
        self.fix = fix
        parts = [found.rstrip(".") + "."]
        if expected:
            parts.append(f"Expected: {expected.rstrip('.')}.")
        if fix:
            parts.append(f"Fix: {fix.rstrip('.')}.")
        super().__init__(" ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip back from a worker process (keyword arguments included)."""
        return _rebuild, (type(self), self.found, self.expected, self.fix)


def _rebuild(kind: type[SenoscopeError], found: str, expected: str, fix: str) -> SenoscopeError:
    return kind(found, expected=expected, fix=fix)


class UsageError(SenoscopeError):
    """The command or function was called wrongly (exit code 2)."""

    exit_code = 2


class LockedError(UsageError):
    """Another process is at work in the same folder."""


class ImageError(SenoscopeError):
    """An image cannot be read safely or faithfully."""


class MaskError(SenoscopeError):
    """A mask does not fit its image or holds unexpected values."""


class DatasetError(SenoscopeError):
    """A dataset's folder is not in its owner's layout."""


class TableError(SenoscopeError):
    """A manifest, split or prediction table has wrong columns, ids or values."""


class LeakageError(SenoscopeError):
    """A patient or duplicate group stands on both sides of a split."""


class ConfigError(SenoscopeError):
    """A recipe or configuration file has an unknown key or a value out of range."""


class DivergedError(SenoscopeError):
    """A training's loss is no longer a number."""


class WeightsError(SenoscopeError):
    """Weights are unsafe, damaged, or belong to another model."""


class BundleError(SenoscopeError):
    """A bundle is incomplete, altered, or made for something else."""


class MissingExtraError(SenoscopeError):
    """A feature needs an optional dependency that is not installed."""
