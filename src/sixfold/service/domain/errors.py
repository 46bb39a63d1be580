"""What the service answers when it cannot do what was asked: the four parts of every error, and an HTTP status."""

from __future__ import annotations

from typing import ClassVar, Final

from sixfold.core.errors import SixfoldError

VERSION_HEADER: Final = "Sixfold-Version"  # of every answer: a client of another version says so


class ServiceError(SixfoldError):
    """`status`: of HTTP. `code`: a short name that programs compare, stable over versions."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_s: int | None = None


class InvalidRequest(ServiceError):
    """The request cannot be understood or breaks a rule; sent again as it is, it fails again."""

    status, code = 400, "invalid_request"


class Unauthenticated(ServiceError):
    """No key, or one that is wrong, revoked or expired: which of them is not told."""

    status, code = 401, "invalid_api_key"


class Forbidden(ServiceError):
    """The key is good, and lacks the scope."""

    status, code = 403, "missing_scope"


class NotFound(ServiceError):
    """There is no such thing in this tenant: the things of another tenant are not there either."""

    status, code = 404, "not_found"


class Conflict(ServiceError):
    """The state does not allow it: a finished job is not paused, a name is taken, an attempt is stale."""

    status, code = 409, "conflict"


class Unprocessable(ServiceError):
    """Understood, and refused: an idempotency key with another body, a bundle that does not verify."""

    status, code = 422, "unprocessable"


class QuotaExceeded(ServiceError):
    """A limit of the tenant or key. `retry_after_s`: when it may be worth asking again; None where waiting does not help."""

    status, code = 429, "quota_exceeded"

    def __init__(
        self, where: str, expected: str, found: str, remedy: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(where, expected, found, remedy)
        self.retry_after_s = retry_after_s


class Unavailable(ServiceError):
    """The service is full or one of its parts is gone: ask again later."""

    status, code = 503, "unavailable"

    def __init__(
        self, where: str, expected: str, found: str, remedy: str, retry_after_s: int = 1
    ) -> None:
        super().__init__(where, expected, found, remedy)
        self.retry_after_s = retry_after_s
