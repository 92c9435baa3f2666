"""Your own images in folders: ``benign/case1.png`` with an optional mask.

The first folder's name is the label; images directly in the root keep an unknown label. Masks lie beside the
image (``case1_mask.png``, ``case1_mask_1.png``, … unite) or under ``masks/`` at the same place
(``masks/benign/case1.png`` or ``masks/benign/case1_mask.png``). With ``images/`` beside ``masks/``, the
classes are in ``images/``.
"""

from __future__ import annotations

import re
from pathlib import Path

from senoscope.data._layout import IMAGE_SUFFIXES, natural_key
from senoscope.errors import DatasetError
from senoscope.schema import CLASSES, Record

MASKS = "masks"
_MASK = re.compile(r"(?P<stem>.+)_mask(?:_\d+)?")


def read(root: Path, modality: str = "US") -> list[Record]:
    """One Record per image, in natural order; the id is the path below the root.

    An image without a mask file keeps ``masks=None``, unless its class is ``normal``: that says there is no
    lesion, so ``masks=()``. Raises ``DatasetError`` if ``root`` is not a folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", expected="a folder such as DIR/benign/case1.png")
    images, masks = find_files(root)
    top = _image_root(root)
    return [_record(root, top, image, masks, modality) for image in images]


def find_files(root: Path) -> tuple[list[Path], dict[Path, list[Path]]]:
    """Images below ``root``, and the masks of each (place below the image root, without suffix)."""
    top, mask_root = _image_root(root), root / MASKS
    images: list[Path] = []
    masks: dict[Path, list[Path]] = {}
    for path in sorted(root.rglob("*"), key=lambda found: natural_key(found.as_posix())):
        if path.suffix.lower() not in IMAGE_SUFFIXES or _hidden(path.relative_to(root)) or not path.is_file():
            continue
        match = _MASK.fullmatch(path.stem)
        stem = match["stem"] if match else path.stem
        if path.is_relative_to(mask_root):
            masks.setdefault(path.relative_to(mask_root).with_name(stem), []).append(path)
        elif match and path.is_relative_to(top):
            masks.setdefault(path.relative_to(top).with_name(stem), []).append(path)
        elif path.is_relative_to(top):
            images.append(path)
    return images, masks


def _record(root: Path, top: Path, image: Path, masks: dict[Path, list[Path]], modality: str) -> Record:
    place = image.relative_to(top)
    label = _label(place.parts[0]) if len(place.parts) > 1 else None
    found = masks.get(place.with_name(image.stem))
    return Record(
        id=image.relative_to(root).as_posix(),
        dataset="folder",
        image=image,
        modality=modality,
        label=label,
        masks=tuple(found) if found else () if label == "normal" else None,
    )


def _label(name: str) -> str:
    """Breast classes in their usual spelling whatever the case; other names as they stand."""
    return name.casefold() if name.casefold() in CLASSES else name


def _image_root(root: Path) -> Path:
    return root / "images" if (root / "images").is_dir() and (root / MASKS).is_dir() else root


def _hidden(place: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in place.parts)
