"""Associations that we ask others for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from senoscope.clinic.gateway.config import Destination, Peer
from senoscope.clinic.gateway.jobs import DeliveryError
from senoscope.clinic.gateway.tls import client_context

_ASSOCIATE_S, _ANSWER_S = 15.0, 60.0


@contextmanager
def associated(
    calling: str, other: Peer | Destination, classes: Iterable[str], roles: Sequence[Any] = ()
) -> Iterator[Association]:
    """An association with ``other`` for these SOP classes, released at the end.

    Raises ``DeliveryError`` if it does not come about, or if what is done with it needs a class that was refused.
    """
    name = other.name if isinstance(other, Destination) else other.ae_title
    if other.host is None or other.port is None or other.ae_title is None:
        raise DeliveryError(f"{name} has no host and port")
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.connection_timeout = _ASSOCIATE_S
    entity.dimse_timeout = entity.network_timeout = _ANSWER_S
    for kind in classes:
        entity.add_requested_context(kind, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = entity.associate(
        other.host,
        other.port,
        ae_title=other.ae_title,
        ext_neg=list(roles),
        tls_args=(client_context(other.tls), other.host) if other.tls is not None else None,
    )
    if not association.is_established:
        raise DeliveryError(f"{name} does not accept an association")
    try:
        yield association
    except (ValueError, RuntimeError):  # pynetdicom's: a class was not accepted, or the association is gone
        raise DeliveryError(f"{name} does not accept what was asked, or hung up") from None
    finally:
        if association.is_established:
            association.release()
