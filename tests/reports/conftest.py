from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from senoscope.reports.folder import Summary, analyze_paths


@pytest.fixture(scope="session")
def exams(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good pictures, a broken one, a constant one, a coloured one and one whose name is code."""
    folder = tmp_path_factory.mktemp("exams")

    def save(name: str, gray: np.ndarray) -> None:
        Image.fromarray(np.rint(gray * 255).astype(np.uint8)).save(folder / name)

    save("calm.png", fake.draw_exam())
    save("deep.png", fake.draw_exam((120, 130, 40, 0.02)))
    save("two.png", fake.draw_exam((80, 70, 34, 0.02), (180, 190, 28, 0.2)))
    save('a"b<img src=x onerror=alert(1)>.png', fake.draw_exam((120, 130, 30, 0.02)))
    save("flat.png", np.full((64, 64), 0.5))
    (folder / "broken.png").write_bytes((folder / "deep.png").read_bytes()[:3000])
    colour = np.repeat((fake.draw_exam() * 255).astype(np.uint8)[..., None], 3, axis=2)
    colour[50:150, 50:150] = (220, 20, 30)
    Image.fromarray(colour).save(folder / "doppler.png")
    return folder


@pytest.fixture(scope="session")
def results(exams: Path, fake_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """What a run over the folder leaves."""
    return analyze_paths([exams], tmp_path_factory.mktemp("results"), bundle=fake_folder, progress=False)


@pytest.fixture(scope="session")
def page(results: Summary) -> str:
    return results.report.read_text(encoding="utf-8")


Run = Callable[..., Summary]
