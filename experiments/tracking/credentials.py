"""Keeping passwords out of everything that is printed, logged or recorded."""

import os
import re
from urllib.parse import unquote

_HIDDEN = "***"
# user:password@ of an address, whatever the password holds up to the last @ before a space or a quote.
_IN_ADDRESS = re.compile(r"(://[^\s:/@'\"]*):([^\s'\"]+)@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|pwd|token|sslpassword)=)[^\s&'\"]+", re.IGNORECASE)
_SHORTEST = 4  # characters of a secret that is looked for by itself; a shorter one would be found in ordinary words


def masked_address(address: str) -> str:
    """Return an address without its password."""
    return _IN_QUERY.sub(rf"\1{_HIDDEN}", _IN_ADDRESS.sub(rf"\1:{_HIDDEN}@", address))


def masked(text: str) -> str:
    """Return a text, such as an exception's, without the passwords of addresses and those of the environment."""
    text = masked_address(text)
    for secret in _secrets():
        text = text.replace(secret, _HIDDEN)
    return text


def is_masked(address: str) -> bool:
    """Whether an address lacks its password, and cannot be used as it is."""
    return masked_address(address) == address and _HIDDEN in address


def _secrets() -> list[str]:
    """The secrets of the environment, as they are written and as they are sent; the longest first."""
    named = [os.environ.get("MLFLOW_TRACKING_PASSWORD", ""), os.environ.get("MLFLOW_TRACKING_TOKEN", "")]
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    named += [found[2] for found in _IN_ADDRESS.finditer(address)]
    either = {form for secret in named for form in (secret, unquote(secret))}
    return sorted(
        (secret for secret in either if len(secret) >= _SHORTEST and secret != _HIDDEN), key=len, reverse=True
    )
