"""``senoscope models`` and ``train --system``: what a user types first, and what a wrong word brings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from senoscope import models
from senoscope.cli.main import main

SLUGS = [
    "imagemasknet", "imagemasknet2", "efficientnet-b0-unet", "efficientnet-b0", "breastcnet",
    "resnet18", "resnet34", "resnet50", "resnet-gap", "cnn3", "densenet121", "densenet201",
    "buvitnet", "hadlcm", "efficientnet-b7-lightgbm", "acsnet", "multirusnet", "unet", "segnet",
    "fcn32s", "pspnet", "deeplabv3plus", "unet-plus-plus", "attention-unet", "resunet", "denseunet",
    "vnet-2d", "unet3plus", "transunet", "swin-unet", "medt", "res-transunet",
    "saliency-attention-unet", "residual-attention-unet", "mdf-net", "dual-branch",
    "dda-attresunet", "dau-net", "ucapsnet", "coatunet", "edcnn", "multistage-cnn", "pranet",
    "caranet", "fcbformer", "bobowicz-ensemble", "di-cnn-svm", "dcan", "gcn-unet", "mobile-unet",
    "squeeze-unet", "connected-unets", "cnn-lstm", "mtl-aumente", "taan", "senoscope-us",
]  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    out = capsys.readouterr()
    return int(end.value.code or 0), out.out + out.err


def test_every_promised_name_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(SLUGS) == set(models.names())
    code, text = run(capsys, "models", "list", "--json")
    rows: list[dict[str, Any]] = json.loads(text)
    assert code == 0
    assert [row["name"] for row in rows] == sorted(SLUGS)
    assert all(
        set(row)
        == {"name", "task", "year", "params", "gmacs", "fidelity", "claimed", "source", "needs", "gives"}
        for row in rows
    )


def test_a_person_sees_a_table_and_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    _, table = run(capsys, "models", "list")
    assert "attention-unet" in table
    assert "31.04 M" in table
    code, page = run(capsys, "models", "info", "unet")
    assert code == 0
    for part in ("31,036,481 parameters", "Ronneberger", "Fidelity", "not public", "1024"):
        assert part.casefold() in page.casefold()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models", "info", "atention-unet"), "attention-unet"),
        (("train", "--system", "transunett", "--data", "busi"), "transunet"),
        (("train", "--system", "unet"), "has no data"),
        (("train", "busi", "--system", "unet", "--data", "busi"), "both a recipe and a system"),
        (("train",), "no recipe is named"),
        (("train", "busi", "--image-size", "64"), "go with --system"),
        (("train", "--system", "unet", "--data", "busi", "--image-size", "100"), "multiples of 16"),
        (("train", "--system", "unet", "--data", "busi", "--set", "lrr=1"), "did you mean 'lr'"),
        (("train", "--system", "unet", "--data", "busi", "--set", "lr"), "sets nothing"),
    ],
)
def test_bad_input_is_one_clear_error(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, text = run(capsys, *arguments)
    assert code == 2 or (code == 1 and "lrr" in " ".join(arguments))
    assert said in " ".join(text.split())
    assert "Traceback" not in text


def test_a_system_trains_on_a_folder_by_one_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from senoscope.data.phantoms import write_dataset

    write_dataset(tmp_path / "phantoms", 16, seed=3, size=96)
    code, text = run(
        capsys, "train", "--system", "unet", "--data", f"phantoms={tmp_path / 'phantoms'}", "--image-size", "64",
        "--epochs", "1", "--set", "options.widths=[4,8,16]", "--set", "precision=32-true",
        "--set", "valid_fraction=0.3", "--out", str(tmp_path / "run"), "--json",
    )  # fmt: skip
    assert code == 0, text
    assert "dice" in json.loads(text)["kept"]
    assert (tmp_path / "run/weights.safetensors").is_file()
