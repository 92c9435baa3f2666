"""Bundles: a trained model as a folder of ``card.json``, ``model.onnx`` and ``weights.safetensors``.

Nothing of a bundle is run or believed before its hashes are checked; nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from senoscope._files import sha256_file
from senoscope.catalog import nearest
from senoscope.errors import BundleError
from senoscope.inference._onnx import check_onnx
from senoscope.inference._safetensors import check_finite, read_header
from senoscope.inference.card import CARD, Calibration, Card, DataSource, Figure, read_card, save_card

__all__ = [
    "DEFAULT_BUNDLE",
    "Bundle",
    "Calibration",
    "Card",
    "DataSource",
    "Figure",
    "find_bundle",
    "install_bundle",
    "load_bundle",
    "save_card",
    "verify_bundle",
]

DEFAULT_BUNDLE = "senoscope-us"
MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
VARIABLE = "SENOSCOPE_BUNDLE"
"""Environment variable: the folder to use instead of the shipped bundle."""

_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".npy", ".npz", ".dill"}
_MAX_MODEL_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle. ``model`` is the ONNX file's bytes, the very ones whose hash was checked."""

    folder: Path
    card: Card
    model: bytes

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the network that runs."""
        return self.card.files[MODEL]

    @property
    def title(self) -> str:
        """Name and version, as reports print it."""
        return f"{self.card.name} {self.card.version}"


def load_bundle(source: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """A bundle by the name of a shipped one or by its folder, checked against its card.

    Raises ``BundleError`` if a file is missing, altered, damaged or unsafe, or made for something else.
    """
    folder = find_bundle(source)
    card = read_card(folder / CARD)
    if MODEL not in card.files:
        raise BundleError(
            f"{CARD} names no {MODEL}",
            expected="the hash of every file of the bundle",
            fix="export the bundle again",
        )
    for name in card.files:
        _refuse_unsafe(folder / name)
    model = _read(folder / MODEL)
    for name, digest in card.files.items():
        found = hashlib.sha256(model).hexdigest() if name == MODEL else sha256_file(folder / name)
        if found != digest:
            raise BundleError(
                f"{name} of bundle '{card.name}' is damaged or was altered (SHA-256 {found[:12]}…)",
                expected=f"SHA-256 {digest[:12]}…, as its card says",
                fix="install the bundle again; nothing of this one was loaded",
            )
    check_onnx(model)
    if WEIGHTS in card.files:
        read_header(folder / WEIGHTS)
    return Bundle(folder, card, model)


def verify_bundle(source: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """``load_bundle``, then every check that takes time: finite weights in every file, and one image through it."""
    from senoscope.inference.runtimes import OnnxNetwork  # here: loading a card needs no runtime

    bundle = load_bundle(source)
    if WEIGHTS in bundle.card.files:
        check_finite(bundle.folder / WEIGHTS)
    OnnxNetwork(bundle, threads=1)
    return bundle


def install_bundle(source: Path, target: Path) -> Bundle:
    """Copy a bundle over ``target`` only if the copy verifies; a bad one leaves what was there untouched."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as room:
        fresh, old = Path(room) / "new", Path(room) / "old"
        card = read_card(find_bundle(source) / CARD)
        fresh.mkdir()
        for name in (CARD, *card.files):
            _refuse_unsafe(source / name)
            shutil.copyfile(source / name, fresh / name)
        verify_bundle(fresh)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    return load_bundle(target)


def find_bundle(source: str | Path = DEFAULT_BUNDLE) -> Path:
    """The folder of a bundle: ``$SENOSCOPE_BUNDLE`` for the default one, a shipped bundle's name, or a folder."""
    named = os.environ.get(VARIABLE) if source == DEFAULT_BUNDLE else None
    path = Path(named or source)
    shipped = Path(str(resources.files("senoscope") / "bundles"))
    if named is None and path.name == str(source) and (shipped / path.name / CARD).is_file():
        return shipped / path.name
    if path.suffix.lower() in _PICKLES:
        raise _pickled(path)
    if path.name == CARD:
        path = path.parent
    if path.is_dir():
        return path
    known = sorted(entry.parent.name for entry in shipped.glob(f"*/{CARD}"))
    close = nearest(str(source), known)
    raise BundleError(
        f"there is no bundle '{named or source}'",
        expected=f"a bundle's folder, or one of the shipped: {', '.join(known) or 'none in this installation'}",
        fix=f"did you mean '{close[0]}'?" if close else "name the folder that holds card.json",
    )


def _refuse_unsafe(path: Path) -> None:
    if path.suffix.lower() in _PICKLES:
        raise _pickled(path)
    if path.is_symlink() or not path.is_file():
        raise BundleError(
            f"{path.name} is missing from the bundle, or is not a plain file",
            expected="every file its card names",
            fix="install the bundle again",
        )
    with path.open("rb") as stream:
        start = stream.read(9)
    # A safetensors file begins with the length of its header, whose bytes may look like anything.
    safetensors = start[8:] == b"{"
    pickled = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if not safetensors and (pickled or start[:4] == b"PK\x03\x04"):
        raise _pickled(path)


def _pickled(path: Path) -> BundleError:
    return BundleError(
        f"{path.name} is a pickle or an archive, which can run code when it is opened",
        expected="model.onnx and weights.safetensors",
        fix="export the training run as a bundle: senoscope export RUN",
    )


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MAX_MODEL_BYTES:
        raise BundleError(f"{path.name} has {path.stat().st_size:,} bytes", expected="a model below 1 GB")
    return path.read_bytes()
