"""CPU milliseconds: kept, resumed, refused under other conditions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from senoscope.benchmark import speed
from senoscope.cli.main import main
from senoscope.errors import UsageError

torch = pytest.importorskip("torch", reason="needs the [train] extra")


def test_one_system_for_real() -> None:
    threads = torch.get_num_threads()
    found = speed.time_system("cnn3", 48, passes=5)
    assert found["image_size"] == 64, "the next size it takes"
    assert 0 < found["median_ms"] <= found["p95_ms"] < 60_000
    assert found["passes"] == 5
    assert torch.get_num_threads() == threads


def test_measured_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def pretend(name: str, size: int) -> dict[str, float]:
        asked.append(name)
        if name == "medt":
            raise RuntimeError("no memory")
        return {"image_size": size, "median_ms": 10.0, "p95_ms": 12.0, "passes": 20}

    monkeypatch.setattr(speed, "time_system", pretend)
    for systems, code in (("unet", 0), ("cnn3,unet", 0), ("medt", 1)):
        with pytest.raises(SystemExit) as end:
            main(["benchmark", "speed", "--systems", systems, "--out", str(tmp_path)])
        assert end.value.code == code
    assert asked == ["unet", "cnn3", "medt"]
    assert "medt: no memory" in capsys.readouterr().err
    content = json.loads((tmp_path / "speed.json").read_text())
    assert list(content["systems"]) == ["cnn3", "unet"]
    assert "CPU" in content["machine"]
    with pytest.raises(UsageError, match="other conditions"):
        list(speed.measure_speed(["unet"], 256, tmp_path / "speed.json"))
