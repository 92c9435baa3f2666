"""Rows 30, 31, 33, 38 and 39 over the network: one gateway, real associations."""

from __future__ import annotations

import os
import socket
import tempfile
import time

import pytest
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from pynetdicom import AE, _config
from pynetdicom.sop_class import Verification

from senoscope.clinic.gateway.arrivals import Arrivals
from senoscope.clinic.gateway.config import make_config
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import make_queue
from senoscope.clinic.gateway.node import Node

IDLE_S = 2.0
pytestmark = pytest.mark.filterwarnings(
    "ignore:Invalid value for VR UI", "ignore:The value length"
)  # on purpose


@pytest.fixture(scope="module")
def gateway(parts, tmp_path_factory, fake_folder):
    """Nothing it receives here is ever complete, so nothing is analysed."""
    changes = {"node": {"idle_s": IDLE_S}, "series": {"quiet_s": 3600}}
    made = parts.Gateway(tmp_path_factory.mktemp("gateway"), parts.settings(1, str(fake_folder), **changes))
    yield made
    made.kill()


def associate(gateway, *contexts, calling="PACS", called="SENOSCOPE"):
    entity = AE(ae_title=calling)
    for kind, *syntaxes in contexts or [(Verification, ImplicitVRLittleEndian)]:
        entity.add_requested_context(kind, syntaxes)
    return entity.associate("127.0.0.1", gateway.port, ae_title=called)


def test_echo(gateway):
    association = associate(gateway)
    assert association.send_c_echo().Status == 0
    association.release()


def test_row_39_unknown_titles_are_rejected(gateway):
    for titles in ({"calling": "STRANGER"}, {"called": "SOMEBODY"}):
        association = associate(gateway, **titles)
        assert association.is_rejected
        assert not association.is_established


def test_row_39_an_idle_peer_is_hung_up_on(gateway):
    association = associate(gateway)
    start = time.monotonic()
    while association.is_established and time.monotonic() < start + 5 * IDLE_S:
        time.sleep(0.05)
    assert association.is_aborted
    assert time.monotonic() - start > IDLE_S / 2


def test_row_39_so_is_one_that_connects_and_says_nothing(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port)) as peer:
        peer.settimeout(5 * IDLE_S)
        assert peer.recv(1024) == b""


def test_row_38_other_classes_and_syntaxes_are_refused_in_negotiation(gateway):
    association = associate(
        gateway,
        (UltrasoundImageStorage, ExplicitVRLittleEndian),
        (UltrasoundMultiFrameImageStorage, JPEG2000),
        (CTImageStorage, ExplicitVRLittleEndian),
        (SecondaryCaptureImageStorage, ExplicitVRLittleEndian),
        (DigitalMammographyXRayImageStorageForProcessing, ExplicitVRLittleEndian),
        (UltrasoundImageStorage, MPEG2MPML),
    )
    accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
    assert accepted == {
        (UltrasoundImageStorage, ExplicitVRLittleEndian),
        (UltrasoundMultiFrameImageStorage, JPEG2000),
    }
    assert sorted(c.result for c in association.rejected_contexts) == [3, 3, 3, 4]  # class ×3, syntax
    association.release()


def test_rows_30_and_31_same_and_other_content(gateway, parts, pixels):
    one = parts.exam(pixels, 30)
    other = parts.exam(255 - pixels, 30)
    assert parts.send(gateway.port, [one, one, other, one]) == [0, 0, 0xC111, 0]
    stored = list((gateway.data / "objects").iterdir())
    assert len([path for path in stored if one.PixelData in path.read_bytes()]) == 1
    assert not [path for path in stored if other.PixelData in path.read_bytes()]


@pytest.mark.parametrize("uid", ["../../../../tmp/senoscope-escaped", "1.2.0099.1"])
def test_row_33_illegal_identifiers(gateway, parts, pixels, uid):
    before = sorted(gateway.data.rglob("*"))
    dataset = parts.exam(pixels, 33, StudyInstanceUID=uid)
    assert parts.send(gateway.port, [dataset]) == [0xC000]
    dataset = parts.exam(pixels, 33)
    dataset.SOPInstanceUID = parts.uid_of(uid)
    assert parts.send(gateway.port, [dataset])[0] not in (0, 0xB000)
    assert sorted(gateway.data.rglob("*")) == before
    assert not os.path.exists("/tmp/senoscope-escaped")  # noqa: PTH110, S108


def test_what_is_no_image_is_refused_and_the_association_goes_on(gateway, parts, pixels):
    broken = parts.exam(pixels, 34)
    del broken.Rows
    assert parts.send(gateway.port, [broken, parts.exam(pixels, 35)]) == [0xC000, 0]


def test_below_the_reserve_a_sender_is_told_so(parts, pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)  # a node in this process sets both for good
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    config = make_config({**parts.settings(1, "senoscope-us"), "data_dir": str(tmp_path / "data")})
    Folders(config.data_dir).make()
    full = Arrivals(make_queue(config).engine, Folders(config.data_dir), reserve=1 << 60)
    node = Node(config, full, lambda *_: False)
    port = node.start()
    assert parts.send(port, [parts.exam(pixels, 36)]) == [0xA700]
    node.stop(1)
    assert list((tmp_path / "data" / "objects").iterdir()) == []


def test_nothing_is_left_in_the_entrance(gateway):
    assert list((gateway.data / "incoming").iterdir()) == []
