"""What MLflow accepts, and how a name or value that it would refuse or cut is sent instead.

The journal keeps every name and value as it was given; only what is sent is changed, and what is sent says so.
"""

import hashlib
import posixpath
import re

PARAM_CHARACTERS = 6000
TAG_CHARACTERS = 8000
KEY_CHARACTERS = 250
DIGEST_CHARACTERS = 36
BATCH_ENTITIES = 1000
BATCH_PARAMS = 100
BATCH_TAGS = 100
BATCH_BYTES = 800_000  # MLflow refuses requests over 1 MB

_REFUSED = re.compile(r"[^/\w.\- :]")


def sent_name(name: str) -> str:
    """The name under which MLflow gets a metric, parameter or tag: the same, unless MLflow would refuse it.

    A refused one has its unusual characters replaced and ends in six digits of its own hash, so that two such names
    never become one.
    """
    if name and len(name) <= KEY_CHARACTERS and not _REFUSED.search(name) and _is_plain_path(name):
        return name
    pieces = [piece for piece in _REFUSED.sub("_", name).split("/") if piece not in {"", ".", ".."}]
    digits = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{'/'.join(pieces)[: KEY_CHARACTERS - 7].rstrip('/')}_{digits}"


def cut(value: str, limit: int, kept_in: str) -> str:
    """A value of at most ``limit`` characters; a longer one is cut and says where the whole of it is."""
    if len(value) <= limit:
        return value
    note = f" [cut: all {len(value)} characters are in the artifact {kept_in}]"
    return value[: limit - len(note)] + note


def _is_plain_path(name: str) -> bool:
    return posixpath.normpath(name) == name and name != "." and not name.startswith(("..", "/"))
