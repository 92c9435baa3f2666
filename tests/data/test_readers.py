"""Each reader against hand-worked files in its owner's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from senoscope import data
from senoscope.data.datasets import bus_bra, busi, flowers17, folder, mini_mias
from senoscope.errors import DatasetError, ImageError, UsageError
from senoscope.schema import Box

BUS_BRA_HEADER = "ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX\n"


def picture(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)
    return path


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


# --- BUSI -------------------------------------------------------------------------------------------------


@pytest.fixture
def busi_root(tmp_path: Path) -> Path:
    names = ["benign (10)", "benign (10)_mask", "benign (2)", "benign (2)_mask_1", "benign (2)_mask"]
    for name in names:
        picture(tmp_path / "benign" / f"{name}.png")
    picture(tmp_path / "malignant" / "malignant (1).png")
    picture(tmp_path / "normal" / "normal (1).png")
    picture(tmp_path / "normal" / "normal (1)_mask.png")
    return tmp_path


def test_busi_unites_masks_in_natural_order(busi_root: Path) -> None:
    records = {record.id: record for record in busi.read(busi_root)}
    assert list(records) == ["busi:normal (1)", "busi:benign (2)", "busi:benign (10)", "busi:malignant (1)"]
    two = records["busi:benign (2)"]
    assert two.masks is not None
    assert [mask.name for mask in two.masks] == ["benign (2)_mask.png", "benign (2)_mask_1.png"]
    assert (two.label, two.modality, two.patient, two.spacing) == ("benign", "US", None, None)


def test_busi_missing_mask_stays_unknown(busi_root: Path) -> None:
    records = {record.id: record for record in busi.read(busi_root)}
    assert records["busi:malignant (1)"].masks is None
    assert records["busi:normal (1)"].masks == (busi_root / "normal" / "normal (1)_mask.png",)


def test_the_folder_above_is_understood_and_another_is_refused(
    busi_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    above = tmp_path_factory.mktemp("above")
    busi_root.rename(above / busi.FOLDER)
    assert len(busi.read(above)) == 4
    (above / busi.FOLDER / "normal").rename(above / "elsewhere")
    with pytest.raises(DatasetError, match="normal"):
        busi.read(above)
    with pytest.raises(DatasetError, match="there is no folder"):
        busi.read(above / "absent")


# --- BUS-BRA ----------------------------------------------------------------------------------------------


@pytest.fixture
def bus_bra_root(tmp_path: Path) -> Path:
    """Three rows: as stated, halved, and without image."""
    text(
        tmp_path / "bus_data.csv",
        BUS_BRA_HEADER
        + 'bus_0001-l,1,invasive ductal carcinoma,malignant,4,GE Logiq 7 @10-14MHz,40,30,left,"[11,6,9,19]"\n'
        + 'bus_0002-s,2,fibroadenoma,benign,2,U-Systems @10-14MHz,40,30,single,"[11,6,9,19]"\n'
        + 'bus_0003-r,3,cyst,benign,3,U-Systems @10-14MHz,40,30,right,"[1,1,9,9]"\n',
    )
    text(
        tmp_path / "5-fold-cv.csv",
        "ID,Pathology,kFold,valid_1\nbus_0001-l,malignant,3,NaN\nbus_0002-s,benign,1,0\nbus_0003-r,benign,2,0\n",
    )
    picture(tmp_path / "Images" / "bus_0001-l.png", (40, 30))
    picture(tmp_path / "Masks" / "mask_0001-l.png", (40, 30))
    picture(tmp_path / "Images" / "bus_0002-s.png", (20, 15))
    (tmp_path / "Masks").mkdir(exist_ok=True)
    return tmp_path


def test_bus_bra_keeps_every_fact(bus_bra_root: Path) -> None:
    first, second = bus_bra.read(bus_bra_root)
    assert (first.id, first.label, first.patient, first.laterality) == (
        "bus-bra:bus_0001-l", "malignant", "bus-bra:1", "L",
    )  # fmt: skip
    assert first.clinical == {
        "histology": "invasive ductal carcinoma", "birads": "4", "device": "GE Logiq 7 @10-14MHz",
        "side": "left", "fold": 3,
    }  # fmt: skip
    assert first.masks == (bus_bra_root / "Masks" / "mask_0001-l.png",)
    assert (second.masks, second.laterality, second.clinical["side"]) == (None, None, "single")


def test_bus_bra_boxes_count_from_one_and_scale_with_the_image(bus_bra_root: Path) -> None:
    # [11,6,9,19] covers columns 10 to 19 and rows 5 to 24, counted from 0: 10 wide, 20 high.
    first, second = bus_bra.read(bus_bra_root)
    assert first.boxes == (Box(10, 5, 10, 20),)
    assert second.boxes == (Box(5, 2.5, 5, 10),)


def test_bus_bra_without_its_folds_has_none(bus_bra_root: Path) -> None:
    (bus_bra_root / "5-fold-cv.csv").unlink()
    assert all("fold" not in record.clinical for record in bus_bra.read(bus_bra_root))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("malignant", "malign", "bus_0001-l has Pathology 'malign'"),
        ("[11,6,9,19]", "11 6 9 19", "bus_0001-l has BBOX"),
        (",40,30,left", ",0,30,left", "bus_0001-l has Width '0'"),
        (",40,30,left", ",forty,30,left", "bus_0001-l has Width 'forty'"),
        ("bus_0001-l", "../secret", "names an image '../secret'"),
        ("Pathology", "Diagnosis", "no column Pathology"),
    ],
)
def test_bus_bra_bad_tables_are_named(bus_bra_root: Path, old: str, new: str, named: str) -> None:
    path = bus_bra_root / "bus_data.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError) as caught:
        bus_bra.read(bus_bra_root)
    assert named in str(caught.value)


def test_bus_bra_a_broken_image_is_named(bus_bra_root: Path) -> None:
    (bus_bra_root / "Images" / "bus_0001-l.png").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"bus_0001-l\.png"):
        bus_bra.read(bus_bra_root)


# --- mini-MIAS --------------------------------------------------------------------------------------------

INFO = """INFORMATION:
mammograms as in the owner's file

mdb001 G CIRC B 535 425 197
mdb002 D NORM
mdb003 F CIRC B 100 200 50
mdb003 F SPIC M 300 400 10
mdb004 D CALC M *NOTE 3*
mdb059 F CIRC B
mdb006 D NORM
"""


@pytest.fixture
def mias_root(tmp_path: Path) -> Path:
    text(tmp_path / "Info.txt", INFO.replace("\n", "\r\n"))
    for number, side in ((1, 1024), (2, 512), (3, 512), (4, 64), (59, 64)):
        picture(tmp_path / f"mdb{number:03d}.pgm", (side, side))
    return tmp_path


def test_mias_circles_become_boxes_with_y_from_the_top(mias_root: Path) -> None:
    records = {record.id: record for record in mini_mias.read(mias_root)}
    # y 425 from the bottom of 1024 is 599 from the top; the circle reaches 197 to each side.
    assert records["mini-mias:mdb001"].boxes == (Box(338, 402, 394, 394),)
    # Half the size: (100-50, 1024-200-50, 100, 100) / 2 and (300-10, 1024-400-10, 20, 20) / 2.
    assert records["mini-mias:mdb003"].boxes == (Box(25, 387, 50, 50), Box(145, 307, 10, 10))


def test_mias_unknown_is_not_empty(mias_root: Path) -> None:
    records = {record.id.removeprefix("mini-mias:"): record for record in mini_mias.read(mias_root)}
    assert list(records) == ["mdb001", "mdb002", "mdb003", "mdb004", "mdb059"]  # mdb006 is not on disk
    assert (records["mdb002"].boxes, records["mdb002"].masks, records["mdb002"].label) == ((), (), "normal")
    for name in ("mdb004", "mdb059"):
        assert (records[name].boxes, records[name].masks) == (None, None)


def test_mias_label_patient_side_spacing(mias_root: Path) -> None:
    records = {record.id.removeprefix("mini-mias:"): record for record in mini_mias.read(mias_root)}
    assert [records[name].label for name in records] == [
        "benign",
        "normal",
        "malignant",
        "malignant",
        "benign",
    ]
    assert records["mdb001"].patient == records["mdb002"].patient != records["mdb003"].patient
    assert (records["mdb001"].laterality, records["mdb002"].laterality) == ("R", "L")
    assert records["mdb001"].spacing == (0.2, 0.2)
    assert records["mdb002"].spacing == (0.4, 0.4)
    assert records["mdb003"].clinical == {"tissue": "fatty", "abnormality": "CIRC;SPIC", "severity": "B;M"}


@pytest.mark.parametrize(
    "line", ["mdb001 X CIRC B 1 2 3", "mdb001 G CIRC 1 2 3", "mdb001 G CIRC B 1 2", "mdb01 G NORM"]
)
def test_mias_an_unreadable_line_is_named(mias_root: Path, line: str) -> None:
    text(mias_root / "Info.txt", "header\n" + line + "\n")
    with pytest.raises(DatasetError, match="line 2"):
        mini_mias.read(mias_root)


# --- 17 Flowers -------------------------------------------------------------------------------------------


def test_flowers_class_follows_from_the_number(tmp_path: Path) -> None:
    for number in (1, 80, 81, 1281, 1360):
        picture(tmp_path / "jpg" / f"image_{number:04d}.jpg")
    for stray in ("image_0000.jpg", "image_1361.jpg", "image_7.jpg"):
        picture(tmp_path / "jpg" / stray)
    labels = {record.id: record.label for record in flowers17.read(tmp_path)}
    assert labels == {
        "flowers17:image_0001": "daffodil",
        "flowers17:image_0080": "daffodil",
        "flowers17:image_0081": "snowdrop",
        "flowers17:image_1281": "pansy",
        "flowers17:image_1360": "pansy",
    }


# --- folders ----------------------------------------------------------------------------------------------


def test_folder_masks_beside_under_masks_and_absent(tmp_path: Path) -> None:
    for name in (
        "benign/a.png", "benign/a_mask.png", "benign/a_mask_1.png", "Malignant/b.jpg", "masks/Malignant/b.png",
        "normal/c.png", "benign/d.png", "loose.png", ".hidden/e.png", "benign/p1/f.png",
    ):  # fmt: skip
        picture(tmp_path / name)
    text(tmp_path / "benign" / "notes.txt", "not an image")
    records = {record.id: record for record in folder.read(tmp_path)}
    assert set(records) == {
        "benign/a.png", "Malignant/b.jpg", "normal/c.png", "benign/d.png", "loose.png", "benign/p1/f.png",
    }  # fmt: skip
    masks = {name: record.masks for name, record in records.items()}
    assert masks["benign/a.png"] == (tmp_path / "benign/a_mask.png", tmp_path / "benign/a_mask_1.png")
    assert masks["Malignant/b.jpg"] == (tmp_path / "masks/Malignant/b.png",)
    assert masks["benign/d.png"] is None
    assert masks["normal/c.png"] == ()
    labels = {name: record.label for name, record in records.items()}
    assert labels["Malignant/b.jpg"] == "malignant"
    assert labels["benign/p1/f.png"] == "benign"
    assert labels["loose.png"] is None


def test_folder_with_images_and_masks_side_by_side(tmp_path: Path) -> None:
    for name in ("images/benign/a.png", "masks/benign/a_mask.png", "images/b.png", "masks/b.png"):
        picture(tmp_path / name)
    records = {record.id: record for record in folder.read(tmp_path)}
    assert records["images/benign/a.png"].label == "benign"
    assert records["images/benign/a.png"].masks == (tmp_path / "masks/benign/a_mask.png",)
    assert records["images/b.png"].label is None
    assert records["images/b.png"].masks == (tmp_path / "masks/b.png",)


def test_folder_refuses_a_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a folder"):
        folder.read(picture(tmp_path / "a.png"))


# --- the door ---------------------------------------------------------------------------------------------


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        data.load("bus_bra")
    assert "'bus-bra'" in caught.value.fix


def test_an_absent_dataset_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENOSCOPE_DATA", str(tmp_path))
    with pytest.raises(DatasetError) as caught:
        data.load("mini-mias")
    assert "peipa.essex.ac.uk" in caught.value.fix
    assert "SENOSCOPE_DATA" in caught.value.fix
    assert "all-mias/" in caught.value.expected
    with pytest.raises(DatasetError, match="there is no"):
        data.load("mini-mias", tmp_path / "absent")
    with pytest.raises(DatasetError, match=r"write some with senoscope\.data\.phantoms\.write_dataset"):
        data.load("phantoms")
    with pytest.raises(UsageError, match="needs a root"):
        data.load("table")


def test_an_empty_copy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jpg").mkdir()
    with pytest.raises(DatasetError, match="holds no image"):
        data.load("flowers17", tmp_path)


def test_groups_come_from_the_frozen_split(busi_root: Path) -> None:
    frozen = {line.split(",")[0]: line.split(",")[3] for line in _frozen("busi-grouped-5fold")}
    grouped = {record.id: record.group for record in data.load("busi", busi_root)}
    assert grouped == {name: frozen[name] or None for name in grouped}
    assert any(grouped.values())
    assert all(record.group is None for record in data.load("busi", busi_root, group=False))


def _frozen(name: str) -> list[str]:
    source = Path(data.__file__).parent / "frozen" / f"{name}.csv"
    return source.read_text(encoding="utf-8").splitlines()[1:]
