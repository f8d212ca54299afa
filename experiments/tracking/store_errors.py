"""What can go wrong with a store, put into four words: away, refused, gone, deleted."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.tracking.credentials import masked

_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_LIMIT_EXCEEDED", "NOT_IMPLEMENTED"}
_WORTH_ANOTHER_TRY = {401, 403, 404, 408, 425, 429}


class StoreAwayError(RuntimeError):
    """The store cannot be reached, is busy or wants other credentials: worth another try later."""


class RefusedError(RuntimeError):
    """The store will never accept this."""


class RunGoneError(RuntimeError):
    """The store does not know this run id (any more)."""


class RunDeletedError(StoreAwayError):
    """Somebody deleted the run in the store; nothing can be added until it is restored."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever MLflow and its drivers raise into the four errors of this module."""
    try:
        yield
    except (StoreAwayError, RefusedError, RunGoneError):
        raise
    except Exception as error:
        # Data base drivers, object stores and HTTP libraries each bring errors of their own, and a store that cannot be
        # written must never end a training: what is not known to be final is tried again.
        code = getattr(error, "error_code", None)
        answer = getattr(getattr(error, "response", None), "status_code", None)
        text = _in_short(error)
        if code == "RESOURCE_DOES_NOT_EXIST":
            raise RunGoneError(text) from error
        if code in _REFUSALS or (answer is not None and 400 <= answer < 500 and answer not in _WORTH_ANOTHER_TRY):  # noqa: PLR2004 - HTTP
            raise RefusedError(text) from error
        raise StoreAwayError(text) from error


def _in_short(error: Exception) -> str:
    """One line: of a request that failed, what the system said, without the layers that passed it on."""
    text = masked(" ".join(str(error).split()))
    if "Max retries exceeded" in text or "Connection" in type(error).__name__:
        if found := re.search(r"\[Errno -?\d+\] ([^'\")\]]+)", text):
            return found[1].strip()
        if "timed out" in text.lower():
            return "the request timed out"
    return text[:500] or type(error).__name__
