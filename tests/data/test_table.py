"""A user's own table: dialects, every problem listed with its row, safe paths, safe export."""

from __future__ import annotations

import builtins
import csv
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from senoscope.data.datasets import table
from senoscope.errors import LeakageError, MissingExtraError, TableError
from senoscope.schema import Box, Record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c.png", "a_mask.png", "a_mask_1.png"):
        Image.new("L", (8, 6)).save(tmp_path / name)
    return tmp_path


def write(root: Path, content: str | bytes, name: str = "manifest.csv") -> Path:
    path = root / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problems(path: Path, **options: Any) -> list[str]:
    with pytest.raises(TableError) as caught:
        table.read(path, **options)
    return [line.strip() for line in caught.value.found.splitlines()[1:]]


def test_every_column_reaches_its_field(root: Path) -> None:
    path = write(
        root,
        "id,image,mask,label,patient,group,split,fold,modality,laterality,view,spacing_row,spacing_col,x,y,width,"
        "height,Age,code,note\n"
        "one,a.png,a_mask.png; a_mask_1.png,Benign,p1,g1,train,2,us,left,MLO,0.1,0.2,1,2,3,4,51,007,hello\n"
        "two,b.png,none,,,,,,,,,,,,,,,,4A,\n"
        "three,c.png,,normal,,,,,MG,R,,,,1;2,0;0,3;1,4;1,60.5,4B,\n",
    )
    one, two, three = table.read(path)
    assert one == Record(
        id="one", dataset="table", image=root / "a.png", modality="US", label="benign",
        masks=(root / "a_mask.png", root / "a_mask_1.png"), boxes=(Box(1, 2, 3, 4),), patient="p1", group="g1",
        view="MLO", laterality="L", spacing=(0.1, 0.2),
        clinical={"split": "train", "fold": 2.0, "Age": 51.0, "code": "007", "note": "hello"},
    )  # fmt: skip
    assert two == Record(
        id="two", dataset="table", image=root / "b.png", modality="US", masks=(), boxes=(),
        clinical={"Age": None, "code": "4A", "note": None},
    )  # fmt: skip
    assert (three.label, three.masks, three.modality, three.laterality) == ("normal", (), "MG", "R")
    assert three.boxes == (Box(1, 0, 3, 4), Box(2, 0, 1, 1))
    assert three.clinical["Age"] == 60.5


def test_unknown_stays_unknown(root: Path) -> None:
    (record,) = table.read(write(root, "id,image,label,mask\none,a.png,,\n"))
    assert (record.label, record.masks, record.boxes, record.patient) == (None, None, None, None)
    assert (record.group, record.spacing, record.laterality, record.view) == (None, None, None, None)


# --- row 44: dialects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_44_spreadsheet_dialects(root: Path, mark: bytes, end: str, separator: str) -> None:
    quoted_break = f'"first{end}second{separator} ""third"""'
    lines = [
        ["id", "image", "remark", "label", "mask"],
        ["one", "a.png", quoted_break, "benign", '"a_mask.png;a_mask_1.png"'],
        ["two", "b.png", "", "malignant", ""],
        ["", "", "", "", ""],
    ]
    text = end.join(separator.join(cells) for cells in lines)
    one, two = table.read(write(root, mark + text.encode()))
    assert (one.id, one.label, one.image.name) == ("one", "benign", "a.png")
    assert one.clinical["remark"] == f'first{end}second{separator} "third"'
    assert one.masks is not None
    assert len(one.masks) == 2
    assert (two.label, two.masks) == ("malignant", None)


def test_44_a_quoted_break_counts_as_one_row(root: Path) -> None:
    path = write(root, 'id,image,remark,label\none,a.png,"x\ny\nz",benign\ntwo,b.png,,malignent\n')
    assert problems(path) == [
        "row 3: label 'malignent' is none of normal, benign, malignant; perhaps 'malignant'"
    ]


def test_44_decimal_commas_belong_to_semicolons(root: Path) -> None:
    (record,) = table.read(write(root, "id;image;spacing_row;spacing_col;age\none;a.png;0,1;0,25;50,5\n"))
    assert record.spacing == (0.1, 0.25)
    assert record.clinical["age"] == 50.5
    path = write(root, 'id,image,spacing_row,spacing_col\none,a.png,"0,1","0,1"\n')
    assert problems(path)[0] == "row 2: spacing_row '0,1' is not a number"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"id,image\n", "has a header but no row"),
        (b"id,image\none,caf\xe9.png\n", "not UTF-8"),
        ("id,image\none,a.png\n".encode("utf-16"), "not UTF-8"),
        (b'id,image\none,"a.png\n', "not a readable CSV"),
        (b"id,image\none," + b"x" * 200_000, "not a readable CSV"),
    ],
)
def test_44_what_is_no_table_is_refused(root: Path, content: bytes, said: str) -> None:
    with pytest.raises(TableError, match=said):
        table.read(write(root, content))


# --- row 45: all problems at once -------------------------------------------------------------------------


def test_45_missing_and_double_columns_are_all_named(root: Path) -> None:
    path = write(root, "ID,imgae,label,Label,,agee\none,a.png,benign,benign,x,3\n")
    assert problems(path) == [
        "row 1: column 'imgae' looks like 'image', which is not there",
        "row 1: column 'label' stands twice",
        "row 1: column 5 has no name",
        "row 1: column 'image' is missing",
    ]


def test_45_every_problem_is_listed_with_its_row(root: Path) -> None:
    path = write(
        root,
        "id,image,label,spacing_row,spacing_col,x,y,width,height,fold,laterality,modality\n"
        "one,a.png,benign,0.1,0.1,1,1,2,2,1,L,US\n"
        "one,b.png,malignent,abc,0.1,,,,,,,\n"
        ",c.png,unknown,0.1,,1,1,0,2,,,\n"
        "four,a.png,,-1,0.1,1,1,nan,2,x,up,UZ\n"
        "five,missing.png,,,,,,,,,\n",
    )
    assert problems(path) == [
        "row 3: id 'one' stands in row 2 already",
        "row 3: label 'malignent' is none of normal, benign, malignant; perhaps 'malignant'",
        "row 3: spacing_row 'abc' is not a number",
        "row 4: id '' is empty, holds '..' or control characters, or starts like a path",
        "row 4: label 'unknown' is none of normal, benign, malignant, and an empty cell means unknown",
        "row 4: width and height of a box must be above 0",
        "row 4: spacing_col is empty beside its fellows",
        "row 5: image 'a.png' stands in row 2 already",
        "row 5: width 'nan' is not a number",
        "row 5: laterality 'up' is none of l, left, r, right, and an empty cell means unknown",
        "row 5: modality 'UZ' is none of US, MG, MR, SM, XC, DX, CR, CT, OT; perhaps 'US'",
        "row 5: spacing_row and spacing_col must be above 0 (mm per pixel)",
        "row 5: fold 'x' is not a number",
        "row 6: 11 cells under 12 columns",
        "row 6: image 'missing.png' does not exist",
    ]


def test_45_unlike_columns_are_clinical_values(root: Path) -> None:
    (record,) = table.read(write(root, "id,image,weight,age,side,birads\none,a.png,60,51,left,4\n"))
    assert record.clinical == {"weight": 60.0, "age": 51.0, "side": "left", "birads": 4.0}


def test_45_other_classes_are_allowed_on_request(root: Path) -> None:
    path = write(root, "id,image,label\none,a.png,daisy\ntwo,b.png,Rose\n")
    assert [record.label for record in table.read(path, classes=None)] == ["daisy", "Rose"]
    assert problems(path, classes=("daisy", "roses")) == [
        "row 3: label 'Rose' is none of daisy, roses; perhaps 'roses'"
    ]


# --- row 46: a patient on both sides ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "column", "sides"), [("patient", "split", "test train"), ("group", "fold", "1 2")]
)
def test_46_a_crossing_is_refused(root: Path, word: str, column: str, sides: str) -> None:
    first, second = sides.split()
    path = write(root, f"id,image,{word},{column}\none,a.png,p1,{first}\ntwo,b.png,p1,{second}\n")
    with pytest.raises(LeakageError, match=f"{word} 'p1' in {column}s {first} and {second}"):
        table.read(path)
    assert len(table.read(path, allow_leaks=True)) == 2


def test_46_unknown_patients_cross_nothing(root: Path) -> None:
    path = write(root, "id,image,patient,split\none,a.png,,train\ntwo,b.png,,test\nthree,c.png,p,test\n")
    assert len(table.read(path)) == 3


# --- row 47: paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "/etc/hostname",
        "../a.png",
        "x/../../a.png",
        "..\\a.png",
        "C:\\a.png",
        "C:a.png",
        "\\\\host\\a.png",
        "~/a.png",
    ],
)
@pytest.mark.parametrize("column", ["image", "mask"])
def test_47_paths_stay_below_the_table(root: Path, name: str, column: str) -> None:
    inner = root / "inner"
    inner.mkdir()
    Image.new("L", (8, 6)).save(inner / "ok.png")
    cells = {"image": "ok.png", "mask": "", column: name}
    path = write(inner, f"id,image,mask\none,{cells['image']},{cells['mask']}\n")
    assert problems(path) == [
        f"row 2: {column} '{name}' leaves the table's folder; paths must be relative, without '..'"
    ]


@pytest.mark.parametrize("name", ["../x", "/x", "a\x00b", "a/../b", "~root"])
def test_47_ids_are_no_paths_elsewhere(root: Path, name: str) -> None:
    assert "row 2: id" in problems(write(root, f"id,image\n{name},a.png\n"))[0]


@pytest.mark.parametrize("name", ["a\x00.png", "a" * 5000 + ".png"])
def test_47_impossible_names_do_not_exist(root: Path, name: str) -> None:
    assert "does not exist" in problems(write(root, f"id,image\none,{name}\n"))[0]


def test_47_backslashes_are_understood(root: Path) -> None:
    (root / "in").mkdir()
    Image.new("L", (8, 6)).save(root / "in" / "d.png")
    (record,) = table.read(write(root, "id,image\none,in\\d.png\n"))
    assert record.image == root / "in" / "d.png"


# --- row 48: export ---------------------------------------------------------------------------------------


def records(root: Path) -> list[Record]:
    return [
        Record(
            id="=cmd|' /C calc'!A0", dataset="table", image=root / "a.png", modality="US", label="malignant",
            masks=(root / "a_mask.png", root / "a_mask_1.png"), boxes=(Box(1, 2, 3, 4), Box(0.5, 0, 1, 1)),
            patient="+p", group="-g", view="@v", laterality="R", spacing=(0.1, 1 / 3),
            clinical={"remark": "\t=1+1\nline", "offset": -1.5, "quoted": "'=x"},
        ),
        Record(
            id="two", dataset="table", image=root / "b.png", modality="MG", label="normal", masks=(), boxes=(),
            clinical={"split": "train", "fold": 3.0, "remark": None, "offset": 2.0, "quoted": "plain"},
        ),
        Record(id="three", dataset="table", image=root / "c.png", modality="US",
               clinical={"remark": "x", "offset": None, "quoted": None}),
    ]  # fmt: skip


def test_48_formulas_are_neutralised(root: Path) -> None:
    table.write_table(records(root), root / "manifest.csv")
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        first = next(csv.DictReader(stream))
    assert (first["id"], first["patient"], first["group"], first["view"]) == (
        "'=cmd|' /C calc'!A0", "'+p", "'-g", "'@v",
    )  # fmt: skip
    assert first["remark"] == "'\t=1+1\nline"
    assert first["offset"] == "-1.5", "a number is no formula"
    cells = [cell for row in csv.reader((root / "manifest.csv").open(newline="")) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_48_a_table_survives_the_round_trip(root: Path, name: str) -> None:
    pytest.importorskip("pyarrow") if name.endswith("parquet") else None
    table.write_table(records(root), root / name)
    again = table.read(root)
    for written, read in zip(records(root), again, strict=True):
        values = {key: value for key, value in written.clinical.items() if value is not None}
        assert {key: value for key, value in read.clinical.items() if value is not None} == values
        fields = set(Record.__dataclass_fields__) - {"clinical"}
        assert {key: getattr(read, key) for key in fields} == {key: getattr(written, key) for key in fields}


def test_48_files_elsewhere_cannot_be_written(root: Path) -> None:
    target = root / "inner" / "manifest.csv"
    with pytest.raises(TableError, match="cannot stand in a table"):
        table.write_table(records(root), target)
    assert not target.exists()


def test_a_clinical_value_cannot_take_a_columns_name(root: Path) -> None:
    record = Record(id="a", dataset="t", image=root / "a.png", modality="US", clinical={"View": "x"})
    with pytest.raises(TableError, match="'View'"):
        table.write_table([record], root / "t.csv")


# --- Parquet ----------------------------------------------------------------------------------------------


def test_parquet_types_and_nulls(root: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    columns = {
        "id": ["one", "two"], "image": ["a.png", "b.png"], "label": ["benign", None],
        "spacing_row": [0.1, float("nan")], "spacing_col": [0.1, None], "age": [51, None],
    }  # fmt: skip
    arrow.parquet.write_table(arrow.table(columns), root / "t.parquet")
    one, two = table.read(root / "t.parquet")
    assert (one.spacing, one.clinical["age"], one.label) == ((0.1, 0.1), 51.0, "benign")
    assert (two.spacing, two.clinical["age"], two.label) == (None, None, None)


def test_parquet_damaged(root: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(TableError, match="not a readable Parquet"):
        table.read(write(root, b"PAR1 but not really PAR1", "t.parquet"))


def test_parquet_without_pyarrow_names_the_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> ModuleType:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=r"senoscope\[train\]"):
        table.read(write(root, b"PAR1", "t.parquet"))


def test_a_missing_table_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"manifest\.csv or manifest\.parquet"):
        table.read(tmp_path)
    with pytest.raises(TableError, match="there is no table"):
        table.read(tmp_path / "absent.csv")
