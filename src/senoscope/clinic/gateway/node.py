"""The DICOM node: who may send what, and what they are told (DICOM PS3.4 annexes A, B and J, PS3.7 annex C)."""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pydicom import Dataset
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    ExplicitVRBigEndian,
)
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from senoscope.clinic.dicom.intake import Verdict
from senoscope.clinic.gateway.arrivals import STORED, Arrivals
from senoscope.clinic.gateway.config import Config
from senoscope.clinic.gateway.tls import server_context
from senoscope.clinic.service.blobs import DiskFullError
from senoscope.clinic.service.logs import where
from senoscope.errors import ImageError, UsageError
from senoscope.imaging.dicom_checks import can_decode

SUCCESS, NO_ROOM, CANNOT_UNDERSTAND, OTHER_CONTENT, FAILED = 0x0000, 0xA700, 0xC000, 0xC111, 0x0110
"""Answers to C-STORE (PS3.4 table B.2-1, PS3.7 annex C). ``OTHER_CONTENT`` is of the range "cannot understand": the
object's identifier belongs to another one that was received before, and that one stays."""

if TYPE_CHECKING:
    from pynetdicom.dimse_primitives import C_STORE

_LOG = logging.getLogger("senoscope.clinic.gateway.node")
_PDU = 256 * 1024


def syntaxes() -> list[UID]:
    """The transfer syntaxes that are decoded by this installation, uncompressed ones first."""
    return [uid for uid in AllTransferSyntaxes if uid != ExplicitVRBigEndian and can_decode(uid)]


class Node:
    """Listens from ``start`` to ``stop``.

    Parameters
    ----------
    on_commitment: told the calling AE title and the content of an N-ACTION that asks for storage commitment; whether
        it can be answered.
    """

    def __init__(
        self, config: Config, arrivals: Arrivals, on_commitment: Callable[[str, Dataset], bool]
    ) -> None:
        self._config = config
        self._arrivals = arrivals
        self._on_commitment = on_commitment
        self._server: ThreadedAssociationServer | None = None
        self._entity = _entity(config)

    def start(self) -> int:
        """Listen; the port. Raises ``UsageError`` if the address cannot be had, ``ConfigError`` for a certificate."""
        _config.LOG_HANDLER_LEVEL = "none"  # its handlers quote identifiers
        _config.STORE_RECV_CHUNKED_DATASET = True  # a cine goes to disk as it comes, not to memory
        tempfile.tempdir = str(self._arrivals.folders.incoming)  # where pynetdicom then writes
        node = self._config.node
        encryption = server_context(node.tls, node.idle_s) if node.tls is not None else None
        handlers: list[Any] = [
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._action),
            (evt.EVT_REJECTED, lambda _: _LOG.warning("an association was rejected")),
        ]
        try:
            server = self._entity.start_server(
                (node.host, node.port), block=False, evt_handlers=handlers, ssl_context=encryption
            )
        except OSError:
            raise UsageError(
                f"{node.host}:{node.port} cannot be listened on",
                expected="an address of this machine and a free port",
                fix="change node.host or node.port",
            ) from None
        assert server is not None  # noqa: S101 - only a blocking call returns nothing
        self._server = server
        return int(server.server_address[1])

    def stop(self, seconds: float) -> None:
        """Accept nobody new, let those who are here finish for so long, then hang up."""
        if self._server is None:
            return
        self._server.shutdown()
        end = time.monotonic() + seconds
        while self._entity.active_associations and time.monotonic() < end:
            time.sleep(0.05)
        for association in self._entity.active_associations:
            association.abort()

    def _store(self, event: evt.Event) -> int | Dataset:
        peer = str(event.assoc.requestor.ae_title).strip()
        try:
            uid = str(cast("C_STORE", event.request).AffectedSOPInstanceUID)
            verdict = self._arrivals.receive(event.dataset_path, peer, uid)
        except DiskFullError:
            _LOG.error("the disk is full: an object of %s was refused", peer)
            return _answer(NO_ROOM, "no room")
        except ImageError:  # its text may name a value
            _LOG.warning("an object of %s cannot be used and was refused", peer)
            return _answer(CANNOT_UNDERSTAND, "not an image that can be used")
        except Exception as error:  # whatever it is: not kept means not acknowledged
            _LOG.error("an object of %s could not be kept: %s", peer, where(error))
            return _answer(FAILED, "it could not be kept")
        if verdict == Verdict.CONFLICT:
            _LOG.warning(
                "%s sent another object under an identifier that is in use; the first one stays", peer
            )
            return _answer(OTHER_CONTENT, "another object has this identifier")
        if verdict == Verdict.MIXED:
            _LOG.warning("a study of %s mixes patients and is in quarantine", peer)
        return SUCCESS

    def _action(self, event: evt.Event) -> tuple[int, None]:
        peer = str(event.assoc.requestor.ae_title).strip()
        try:
            known = self._on_commitment(peer, event.action_information)
        except Exception as error:  # a request that cannot be read, or a database that is away
            _LOG.warning("a request for storage commitment of %s failed: %s", peer, where(error))
            return FAILED, None
        if not known:
            _LOG.warning("%s asks for storage commitment, and its host and port are not configured", peer)
        return (SUCCESS if known else FAILED), None


def _entity(config: Config) -> AE:
    node = config.node
    entity = AE(ae_title=node.ae_title)
    entity.require_called_aet = True
    nobody = secrets.token_hex(8)  # an empty list would let everybody in
    entity.require_calling_aet = [peer.ae_title for peer in config.peers] or [nobody]
    entity.maximum_associations = node.max_associations
    entity.maximum_pdu_size = _PDU
    entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = node.idle_s
    entity.add_supported_context(Verification)
    entity.add_supported_context(StorageCommitmentPushModel)
    for kind in STORED:
        entity.add_supported_context(kind, syntaxes())
    return entity


def _answer(status: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status, answer.ErrorComment = status, comment
    return answer
