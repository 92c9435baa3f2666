"""What the service refuses, each with the HTTP status a client gets."""

from __future__ import annotations

from senoscope.errors import SenoscopeError


class ServiceError(SenoscopeError):
    """A request that cannot be met; ``status`` is the HTTP status and ``retry_after`` seconds to wait, if any."""

    status = 400
    retry_after: int | None = None


class BadRequestError(ServiceError):
    """The request is not well formed."""


class UnauthorizedError(ServiceError):
    """No valid token or session."""

    status = 401


class ForbiddenError(ServiceError):
    """The role does not allow it, or the request comes from a foreign page."""

    status = 403


class NotFoundError(ServiceError):
    """There is no such thing, or it is another user's."""

    status = 404


class NotAcceptableError(ServiceError):
    """The client accepts no media type that is offered."""

    status = 406


class SlowBodyError(ServiceError):
    """The body did not arrive in time."""

    status = 408


class ConflictError(ServiceError):
    """Somebody else changed it in the meantime."""

    status = 409


class TooLargeError(ServiceError):
    """The body is over the limit."""

    status = 413


class MediaTypeError(ServiceError):
    """The body is of a kind that is not read here."""

    status = 415


class ClientGoneError(ServiceError):
    """The client left before its upload was acknowledged: nobody hears this, and nothing of it is kept."""


class BusyError(ServiceError):
    """The queue is full: come back later."""

    status = 429

    def __init__(self, found: str, *, retry_after: int, expected: str = "", fix: str = "") -> None:
        super().__init__(found, expected=expected, fix=fix)
        self.retry_after = retry_after


class NotProvidedError(ServiceError):
    """This installation does not offer it."""

    status = 501


class LostLeaseError(SenoscopeError):
    """A job's lease ran out and somebody else has it, or has finished it: nothing was written."""


class AuditError(SenoscopeError):
    """The audit log was altered."""
