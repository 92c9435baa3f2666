"""Connections to DICOMweb servers (DICOM PS3.18)."""

from __future__ import annotations

import os
from typing import Any

from senoscope.errors import ConfigError

_TIMEOUT_S = 60.0


def open_client(url: str, authorization_env: str | None) -> Any:
    """A client of ``dicomweb_client``, which tries nothing twice: the queue does that.

    Raises ``ConfigError`` if the variable that should hold the Authorization header is not set.
    """
    import requests
    from dicomweb_client import DICOMwebClient

    session = requests.Session()
    session.headers["Accept"] = "application/dicom+json"
    value = authorization(authorization_env)
    if value is not None:
        session.headers["Authorization"] = value
    client = DICOMwebClient(url.rstrip("/"), session=session, timeout=_TIMEOUT_S)
    client.set_http_retry_params(retry=False)
    return client


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
