from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from senoscope.errors import BundleError, SenoscopeError, WeightsError
from senoscope.inference._safetensors import check_finite, read_header
from senoscope.inference.bundle import find_bundle, install_bundle, load_bundle, verify_bundle
from senoscope.inference.runtimes import OnnxNetwork


@pytest.fixture
def folder(fake_folder: Path, tmp_path: Path) -> Path:
    """A bundle of its own, to be damaged."""
    return Path(shutil.copytree(fake_folder, tmp_path / "mine"))


def test_a_good_bundle_loads_with_what_its_card_says(fake_folder: Path) -> None:
    bundle = load_bundle(fake_folder)
    assert bundle.card.calibration.temperature == 1.5
    assert bundle.card.results["toy"]["dice"].low == 0.4
    assert bundle.model == (fake_folder / "model.onnx").read_bytes()
    assert bundle.weights_hash == json.loads((fake_folder / "card.json").read_text())["files"]["model.onnx"]
    assert verify_bundle(fake_folder / "card.json").card == bundle.card


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damaged_files_do_not_load(folder: Path, name: str, damage: str) -> None:
    data = bytearray((folder / name).read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data if damage == "flip" else data[:-5])
    with pytest.raises(BundleError, match=rf"{name} of bundle 'fake-us' is damaged or was altered"):
        load_bundle(folder)


def test_a_bad_bundle_never_replaces_the_last_good_one(
    folder: Path, fake_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "installed" / "fake-us"
    install_bundle(fake_folder, target)
    before = (target / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(before[:-9])
    with pytest.raises(BundleError):
        install_bundle(folder, target)
    assert load_bundle(target).model == before
    assert [entry.name for entry in target.parent.iterdir()] == ["fake-us"]  # nothing half-written beside it


def test_pickles_are_refused_by_suffix_and_by_content(folder: Path, fake: ModuleType) -> None:
    with pytest.raises(BundleError, match="pickle"):
        load_bundle(folder / "last.ckpt")
    (folder / "weights.safetensors").write_bytes(pickle.dumps({"a": 1}))
    fake.rehash(folder)
    with pytest.raises(BundleError, match=r"weights\.safetensors is a pickle"):
        load_bundle(folder)
    fake.write_bundle(folder)
    (folder / "extra.pt").write_bytes(b"x")
    fake.edit_card(folder, files={**fake.hashes(folder), "extra.pt": "0" * 64})
    with pytest.raises(BundleError, match=r"extra\.pt is a pickle"):
        load_bundle(folder)


def test_a_header_length_that_looks_like_a_pickle_is_none(folder: Path, fake: ModuleType) -> None:
    """A safetensors file begins with its header's length, and 640 is written as a pickle's first bytes are."""
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(640)
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    assert content[:2] == b"\x80\x02"
    (folder / "weights.safetensors").write_bytes(content)
    fake.rehash(folder)
    assert load_bundle(folder).card.name == "fake-us"


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "a\\b", ".hidden", "c:x"])
def test_files_outside_the_folder_are_refused(folder: Path, fake: ModuleType, name: str) -> None:
    fake.edit_card(folder, files={**fake.hashes(folder), name: "0" * 64})
    with pytest.raises(BundleError, match="plain file name"):
        load_bundle(folder)


def test_a_linked_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        load_bundle(folder)


def test_an_unknown_key_is_named_with_its_nearest(folder: Path, fake: ModuleType) -> None:
    fake.edit_card(folder, mask_treshold=0.4)
    with pytest.raises(BundleError, match=r"unknown key 'mask_treshold' \(did you mean 'mask_threshold'\?\)"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": ["benign", "normal", "malignant"]}, "classes must be normal, benign, malignant"),
        ({"classes": ["cat", "dog"]}, "classes must be"),
        ({"preprocess": {"size": 128, "mean": 0.5}}, "unknown key 'preprocess.mean'"),
        ({"calibration": {"temperature": 0}}, "greater than 0"),
        ({"mask_threshold": 1.5}, "mask_threshold"),
        ({"scope": {"mean": [0.0], "precision": [[1.0]], "threshold": 3, "n": 9, "quantile": 0.9}}, "scope"),
    ],
)
def test_cards_of_something_else_are_refused(
    folder: Path, fake: ModuleType, change: dict[str, object], says: str
) -> None:
    fake.edit_card(folder, **change)
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert says in str(caught.value)


def test_not_a_number_in_a_card_is_refused(folder: Path) -> None:
    path = folder / "card.json"
    path.write_text(
        path.read_text().replace('"temperature": 1.5', '"temperature": NaN').replace("1.5", "NaN")
    )
    with pytest.raises(BundleError):
        load_bundle(folder)


def test_a_network_of_another_size_or_architecture_is_refused(folder: Path, fake: ModuleType) -> None:
    card = json.loads((folder / "card.json").read_text())
    fake.edit_card(folder, preprocess={**card["preprocess"], "size": 256})
    with pytest.raises(BundleError, match="takes image") as caught:
        OnnxNetwork(load_bundle(folder))
    assert "1×1×256×256" in str(caught.value)

    fake.write_bundle(folder, fake.build_network(classes=4))
    with pytest.raises(BundleError, match="gives class logits"):
        OnnxNetwork(load_bundle(folder))

    model = fake.build_network()
    del model.graph.output[2]
    fake.write_bundle(folder, model)
    with pytest.raises(BundleError, match="has no output class_map"):
        OnnxNetwork(load_bundle(folder))


def test_scores_that_are_not_the_sum_of_their_evidence_are_refused(folder: Path, fake: ModuleType) -> None:
    fake.write_bundle(folder, fake.build_network(honest=False))
    with pytest.raises(BundleError, match="not the weighted sum"):
        OnnxNetwork(load_bundle(folder))


def test_onnx_data_outside_the_file_is_refused(folder: Path, fake: ModuleType, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4096))
    model = fake.build_network()
    tensor = next(entry for entry in model.graph.initializer if entry.name == "evidence")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret.bin"
    fake.write_bundle(folder, model)
    with pytest.raises(BundleError, match="'evidence' of the ONNX model is stored outside"):
        load_bundle(folder)


def test_onnx_data_outside_is_found_in_a_node_of_a_subgraph(folder: Path, fake: ModuleType) -> None:
    model = fake.build_network()
    hidden = numpy_helper.from_array(np.zeros(3, np.float32), "hidden")
    entry = hidden.external_data.add()
    entry.key, entry.value = "location", "x"
    constant = onnx.helper.make_node("Constant", [], ["never"], value=hidden)
    inner = onnx.helper.make_graph([constant], "inner", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["extra"], [], then_branch=inner, else_branch=inner))
    fake.write_bundle(folder, model)
    with pytest.raises(BundleError, match="'hidden' of the ONNX model is stored outside"):
        load_bundle(folder)


@pytest.mark.parametrize("kind", ["raw", "list", "half"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_onnx_weights_that_are_not_numbers_are_refused(
    folder: Path, fake: ModuleType, kind: str, bad: float
) -> None:
    model = fake.build_network()
    values = np.array([1.0, bad, 2.0], np.float16 if kind == "half" else np.float32)
    if kind == "list":
        tensor = onnx.helper.make_tensor("poison", onnx.TensorProto.FLOAT, [3], values.tolist())
    else:
        tensor = numpy_helper.from_array(values, "poison")
    model.graph.initializer.append(tensor)
    fake.write_bundle(folder, model)
    with pytest.raises(BundleError, match="'poison' of the ONNX model hold NaN or infinite"):
        load_bundle(folder)


def test_a_network_that_answers_nan_is_refused(folder: Path, fake: ModuleType) -> None:
    model = fake.build_network()
    last = model.graph.node[-1]  # 0 / 0 at run time: no weight is NaN
    model.graph.node.remove(last)
    model.graph.node.append(onnx.helper.make_node("Sub", ["summed", "summed"], ["zero"]))
    model.graph.node.append(onnx.helper.make_node("Div", ["zero", "zero"], ["class_logits"]))
    fake.write_bundle(folder, model)
    with pytest.raises(BundleError, match="not numbers"):
        OnnxNetwork(load_bundle(folder))


@pytest.mark.parametrize("junk", [b"", b"hello, this is no network at all", b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_onnx_file_is_refused_without_a_traceback(
    folder: Path, fake: ModuleType, junk: bytes
) -> None:
    fake.write_bundle(folder, junk)
    with pytest.raises(BundleError, match=r"damaged|cannot load"):
        OnnxNetwork(load_bundle(folder))


HEADERS = {
    "bomb": struct.pack("<Q", 1 << 60) + b"{}",
    "longer than the file": struct.pack("<Q", 500) + b"{}",
    "not json": struct.pack("<Q", 4) + b"{{{{",
    "deep": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "a list": struct.pack("<Q", 2) + b"[]",
    "empty": b"",
}


@pytest.mark.parametrize("case", HEADERS)
def test_safetensors_headers_that_lie_are_refused(folder: Path, fake: ModuleType, case: str) -> None:
    (folder / "weights.safetensors").write_bytes(HEADERS[case])
    fake.rehash(folder)
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "offsets",
    [[[0, 8], [4, 12]], [[0, 8], [12, 20]], [[0, 8], [8, 99]], [[0, 4], [4, 12]]],
    ids=["overlap", "hole", "beyond", "shape"],
)
def test_safetensors_tensors_must_tile_the_file(tmp_path: Path, offsets: list[list[int]]) -> None:
    header = json.dumps(
        {
            name: {"dtype": "F32", "shape": [2], "data_offsets": where}
            for name, where in zip("ab", offsets, strict=True)
        }
    ).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(20))
    with pytest.raises(WeightsError):
        read_header(path)


def test_our_safetensors_reader_agrees_with_the_library(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "w.safetensors"
    library.save_file(
        {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}, path, metadata={"x": "y"}
    )
    assert {name: tuple(entry["shape"]) for name, entry in read_header(path).items()} == {
        "a": (2, 3),
        "b": (4,),
    }
    check_finite(path)
    for values in (np.array([1, np.nan], np.float32), np.array([np.inf], np.float16)):
        library.save_file({"bad": values}, path)
        with pytest.raises(WeightsError, match="'bad' holds NaN or infinite"):
            check_finite(path)


def test_verify_finds_nan_in_the_training_weights(folder: Path, fake: ModuleType) -> None:
    fake.write_safetensors(folder / "weights.safetensors", {"head": np.array([0.0, np.nan])})
    fake.rehash(folder)
    load_bundle(folder)
    with pytest.raises(WeightsError, match="'head' holds NaN"):
        verify_bundle(folder)


def test_an_absent_bundle_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no bundle 'nonsense'"):
        load_bundle("nonsense")
    with pytest.raises(BundleError, match=r"holds no card\.json"):
        load_bundle(tmp_path)


def test_another_default_bundle_can_be_named_by_the_environment(
    fake_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENOSCOPE_BUNDLE", str(fake_folder))
    assert find_bundle() == fake_folder
    assert load_bundle().card.name == "fake-us"
    monkeypatch.setenv("SENOSCOPE_BUNDLE", "/no/such/folder")
    with pytest.raises(BundleError, match="/no/such/folder"):
        find_bundle()


def test_every_refusal_says_how_to_mend_it(folder: Path, fake: ModuleType) -> None:
    (folder / "model.onnx").write_bytes(b"\x00")
    with pytest.raises(SenoscopeError) as caught:
        load_bundle(folder)
    assert caught.value.expected
    assert caught.value.fix
