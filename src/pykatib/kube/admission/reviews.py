"""`admission.k8s.io/v1`: what an API server asks, and what it is answered."""

import base64
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from pykatib.api.errors import FieldError, InvalidInput, PykatibError, answer_to
from pykatib.api.schema_walk import shown

REVIEW_API_VERSION = "admission.k8s.io/v1"
CREATE, UPDATE = "CREATE", "UPDATE"
MAX_WARNINGS = 20
MAX_WARNING_LENGTH = 250
"""Longer ones are cut by the API server, or dropped."""


class Kind(msgspec.Struct, frozen=True):
    """The kind of what is reviewed."""

    group: str = ""
    version: str = ""
    kind: str = ""


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """One question. `name` is empty where the API server is still to make it."""

    uid: str
    operation: str = ""
    kind: Kind = Kind()
    namespace: str = ""
    name: str = ""
    object: Any = None
    old_object: Any = None


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    request: Request
    api_version: str = ""


class Verdict(NamedTuple):
    """The answer: let in, with changes, or refused for every one of the errors."""

    patch: Sequence[dict[str, Any]] = ()
    errors: Sequence[FieldError] = ()
    warnings: Sequence[str] = ()


ALLOWED = Verdict()

Handler: TypeAlias = Callable[[Request], Verdict]

_decoder = msgspec.json.Decoder(_Review)


def answered(body: bytes, handler: Handler) -> bytes:
    """The AdmissionReview that answers one.

    Raises:
        InvalidInput: the body is no AdmissionReview of this version.
        PykatibError: what the handler could not find out; the webhook's failure policy decides then.
    """
    try:
        review = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise InvalidInput([FieldError("", f"this is no AdmissionReview: {error}")]) from error
    if review.api_version != REVIEW_API_VERSION:
        message = f"found {shown(review.api_version)}, wanted {shown(REVIEW_API_VERSION)}"
        raise InvalidInput([FieldError("apiVersion", message)])
    request = review.request
    verdict = handler(request)
    response: dict[str, Any] = {"uid": request.uid, "allowed": not verdict.errors}
    if verdict.errors:
        response["status"] = _status_of(request, verdict.errors)
    elif verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(msgspec.json.encode(verdict.patch)).decode()
    if verdict.warnings:
        response["warnings"] = [_cut(warning) for warning in verdict.warnings[:MAX_WARNINGS]]
    return msgspec.json.encode({"apiVersion": REVIEW_API_VERSION, "kind": "AdmissionReview", "response": response})


def refusing(handler: Handler) -> Handler:
    """A handler that refuses what it cannot find out, with the reason, where the failure policy would refuse anyway."""

    def handle(request: Request) -> Verdict:
        try:
            return handler(request)
        except InvalidInput:
            raise
        except PykatibError as error:
            return Verdict(errors=[FieldError("", f"cannot be judged now: {error}")])

    return handle


def _status_of(request: Request, errors: Sequence[FieldError]) -> dict[str, Any]:
    """Katib's code, 400; the reason and the causes by which kubectl prints a line a field."""
    problem = answer_to(InvalidInput(errors))
    return {
        "code": problem.http_status,
        "reason": problem.reason,
        "message": "; ".join(str(error) for error in errors),
        "details": {
            "group": request.kind.group,
            "kind": request.kind.kind,
            "name": request.name,
            "causes": [
                {"reason": "FieldValueInvalid", "field": error.path, "message": error.message} for error in errors
            ],
        },
    }


def _cut(warning: str) -> str:
    return warning if len(warning) <= MAX_WARNING_LENGTH else warning[: MAX_WARNING_LENGTH - 1] + "…"
