"""Connections to DICOMweb servers (DICOM PS3.18)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from senoscope.clinic.gateway.config import Tls
from senoscope.errors import ConfigError

if TYPE_CHECKING:
    import requests

_TIMEOUT_S = 60.0


def open_client(url: str, authorization_env: str | None, tls: Tls | None = None) -> Any:
    """A client of ``dicomweb_client``, which tries nothing twice: the queue does that.

    Raises ``ConfigError`` if the variable that should hold the Authorization header is not set.
    """
    import requests
    from dicomweb_client import DICOMwebClient

    session = requests.Session()
    session.headers["Accept"] = "application/dicom+json"
    if tls is not None:
        _encrypt(session, url, tls)
    value = authorization(authorization_env)
    if value is not None:
        session.headers["Authorization"] = value
    client = DICOMwebClient(url.rstrip("/"), session=session, timeout=_TIMEOUT_S)
    client.set_http_retry_params(retry=False)
    return client


def _encrypt(session: requests.Session, url: str, tls: Tls) -> None:
    from requests.utils import get_environ_proxies

    session.proxies.update(get_environ_proxies(url))
    session.trust_env = False  # REQUESTS_CA_BUNDLE would take the place of the authorities named here
    if tls.ca is not None:
        session.verify = str(tls.ca)
    if tls.certificate is not None and tls.key is not None:
        session.cert = (str(tls.certificate), str(tls.key))


def authorization(variable: str | None) -> str | None:
    """The Authorization header that an environment variable holds. Raises ``ConfigError`` if it is not set."""
    if variable is None:
        return None
    try:
        return os.environ[variable]
    except KeyError:
        raise ConfigError(
            f"the environment variable {variable} is not set",
            expected="the Authorization header's value, such as 'Bearer …' or 'Basic …'",
            fix="set it where the gateway is started, or remove authorization_env",
        ) from None
