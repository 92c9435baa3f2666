"""Senoscope: read breast images, find, outline and classify lesions, and say when it does not know.

For research use only, not a medical device. The names below are imported when they are first used, so
``import senoscope`` costs nothing; their types are in ``__init__.pyi``.
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

_HOMES = {
    "Analyzer": "senoscope.inference.analyzer",
    "analyze": "senoscope.inference.analyzer",
    "create_model": "senoscope.models",
    "load_bundle": "senoscope.inference.bundle",
    "read_image": "senoscope.imaging",
    "simulate": "senoscope.data.phantoms",
    "Finding": "senoscope.schema",
    "Prediction": "senoscope.schema",
    "Record": "senoscope.schema",
    "Report": "senoscope.schema",
    "Sample": "senoscope.schema",
    "SenoscopeError": "senoscope.errors",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the table is the list


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'senoscope' has no attribute '{name}'")
    return getattr(_import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
