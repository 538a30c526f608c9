"""What the service refuses, and what the user can do about it."""

from __future__ import annotations

import re
from typing import NamedTuple

import google.auth.exceptions
import google.rpc.code_pb2
import grpc
from google.api_core.exceptions import GoogleAPICallError

from harness_vertex import VertexError

_SHOWN = 600  # characters of what a service says
_LOGIN = (
    "run: gcloud auth application-default login, or name a key file in "
    "GOOGLE_APPLICATION_CREDENTIALS"
)
_REMEDIES = (
    (r"getting metadata from plugin failed|reauthentication", _LOGIN),
    (r"StreamUpdate is not enabled", "it was made with updates=batch: update it from gs:// files"),
    (r"larger than max|too large", "set batch_mb (upserts) or queries_per_call lower"),
    (r"connection refused|failed to connect", "does the service run there?"),
    (r"DNS resolution failed|resolving", "is the address right, and can it be reached from here?"),
    (r"WRONG_VERSION_NUMBER|SSL_ERROR|handshake", "one side speaks TLS, and the other does not"),
    (r"undeployed first|still deployed", "undeploy it first"),
    (r"\b(index|endpoint)\b.*not found", "see: project, location, index, endpoint, deployed_index"),
)
_BY_CODE = {
    "UNAUTHENTICATED": _LOGIN,
    "PERMISSION_DENIED": "the account needs the role roles/aiplatform.user in the project, "
    "and the project the API aiplatform.googleapis.com",
    "RESOURCE_EXHAUSTED": "a quota is used up; wait, or ask for more",
    "DEADLINE_EXCEEDED": "set timeout_s or deadline_s higher",
    "UNIMPLEMENTED": "this service does not have it",
}
_TRANSIENT = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
_ID = re.compile(r"\bid:? ['\"]([^'\"]+)['\"]")
_HOPELESS = re.compile(r"larger than max|metadata from plugin|reauthentication|WRONG_VERSION", re.I)
_UNREACHED = re.compile(r"refused|failed to connect|DNS resolution|resolving|no route", re.I)


class Problem(NamedTuple):
    """A failed call: the status code's name, and what was said."""

    code: str
    message: str

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.code in _TRANSIENT and not _HOPELESS.search(self.message)

    @property
    def unreached(self) -> bool:
        """Whether nobody was there to answer."""
        return self.code == "UNAVAILABLE" and bool(_UNREACHED.search(self.message))

    def error(
        self, doing: str, *, key: str = "", applied: tuple[str, ...] = (), after: str = ""
    ) -> VertexError:
        """The error that says so, in one line, with what can be done."""
        said = " ".join(self.message.split())[:_SHOWN].rstrip(" .") or "it does not say why"
        remedy = next((r for found, r in _REMEDIES if re.search(found, said, re.I)), "")
        remedy = remedy or _BY_CODE.get(self.code, "")
        text = f"vertex: {doing}{after}: {self.code}: {said}" + (f"; {remedy}" if remedy else "")
        named = _ID.search(said)
        key = key or (named[1] if named else "")
        return VertexError(text, code=self.code, key=key, applied=applied)


def problem_of(error: Exception) -> Problem | None:
    """What a failed call means; None for what is no failure of a call."""
    if isinstance(error, GoogleAPICallError):
        code = error.grpc_status_code
        return Problem(code.name if code else "UNKNOWN", error.message or str(error))
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return Problem(error.code().name, error.details() or "")
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return Problem("UNAUTHENTICATED", str(error))
    return None


def code_name(number: int) -> str:
    """The name of a status code that came as a number."""
    values = google.rpc.code_pb2.Code.DESCRIPTOR.values_by_number
    return values[number].name if number in values else f"code {number}"
