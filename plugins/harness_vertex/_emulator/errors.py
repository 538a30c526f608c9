"""What the service answers when it cannot do what was asked."""

from __future__ import annotations

from grpc import StatusCode

from harness.vectors import Problem, VectorError


class ServiceError(Exception):
    """An answer with a status code in place of a reply."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> ServiceError:
    """INVALID_ARGUMENT: the request cannot be meant."""
    return ServiceError(StatusCode.INVALID_ARGUMENT, message)


def missing(what: str, name: str) -> ServiceError:
    """NOT_FOUND."""
    return ServiceError(StatusCode.NOT_FOUND, f"{what} {name} is not found.")


def precondition(message: str) -> ServiceError:
    """FAILED_PRECONDITION: not in the state that things are in."""
    return ServiceError(StatusCode.FAILED_PRECONDITION, message)


def unsupported(what: str) -> ServiceError:
    """UNIMPLEMENTED: the service can, the emulator cannot."""
    return ServiceError(StatusCode.UNIMPLEMENTED, f"The emulator has no {what}.")


_CODES = {
    Problem.UNKNOWN_ID: StatusCode.NOT_FOUND,
    Problem.NO_ENGINE: StatusCode.FAILED_PRECONDITION,
    Problem.CLOSED: StatusCode.UNAVAILABLE,
    Problem.READ_ONLY: StatusCode.INTERNAL,
    Problem.MISSING: StatusCode.INTERNAL,
    Problem.LOCKED: StatusCode.INTERNAL,
    Problem.DAMAGED: StatusCode.DATA_LOSS,
    Problem.STORAGE: StatusCode.INTERNAL,
}


def translated(error: VectorError) -> ServiceError:
    """The service's answer to what an index objects to."""
    return ServiceError(_CODES.get(error.problem, StatusCode.INVALID_ARGUMENT), str(error))
