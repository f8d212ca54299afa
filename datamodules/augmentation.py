"""Random changes of training pictures by Albumentations, drawn as a function of (seed, epoch, sample) alone."""

import hashlib
import importlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from datamodules.errors import DataError
from datamodules.pictures import Picture
from datamodules.randomness import key_digest

# Before its first import, wherever that is: else Albumentations asks the network for a newer version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

TRIAL_DRAWS = 16


class Transform(Protocol):
    """What Albumentations' transforms and compositions are called with."""

    def __call__(self, *, force_apply: bool = False, **data: Any) -> dict[str, Any]:  # noqa: ANN401 - pictures, boxes, masks
        """Return `data` with its `image`, `(H, W, C)`, changed; surely so with `force_apply`."""


class KeyedAugmentation:
    """A sequence of Albumentations transforms whose draws depend on (seed, epoch, index) alone.

    Left alone, a composition carries one generator, which every worker copies: workers repeat each other's draws, and
    their number changes the pictures. Seeded, all of its transforms draw the same numbers. Here all share one stream,
    of NumPy's and of Python's generator, that begins anew with each sample.

    Args:
        transforms: applied one after the other; none leaves pictures as they are.
        seed: of the draws.

    Raises:
        DataError: a transform has an unknown argument, or cannot be written down for the record.
    """

    def __init__(self, transforms: Sequence[Transform], *, seed: int) -> None:
        self._seed = seed
        self._transforms = list(transforms)
        self._philox = np.random.Philox(key=0)
        self._philox_state = self._philox.state
        self._numpy = np.random.Generator(self._philox)
        self._python = random.Random(0)  # noqa: S311 - no secret
        self.description: dict[str, Any] = {}
        if not self._transforms:
            return
        # Albumentations takes seconds to import, which a run without augmentation need not spend.
        albumentations = importlib.import_module("albumentations")
        for transform in _every(self._transforms):
            if unknown := getattr(transform, "invalid_args", None):
                raise DataError(f"augmentation: {_name(transform)} has no argument {unknown[0]!r}")
        try:
            self._compose = albumentations.Compose(self._transforms)
            self.description = json.loads(json.dumps(albumentations.to_dict(self._compose), default=str))
        except (NotImplementedError, ValueError, TypeError, AttributeError) as error:
            names = ", ".join(map(_name, self._transforms))
            raise DataError(f"augmentation: {names} cannot be composed and recorded ({_first_line(error)})") from error

    def __len__(self) -> int:
        return len(self._transforms)

    @property
    def digest(self) -> str:
        """SHA-256 of `description`, the transforms with all their arguments, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.description, sort_keys=True).encode()).hexdigest()

    def __call__(self, picture: Picture, *, epoch: int, index: int) -> Picture:
        """Return `picture`, `(H, W, C)`, changed, in the same shape; the same array where no transform applies.

        Raises:
            DataError: a transform changed the shape or the type of the picture.
        """
        if not self._transforms:
            return picture
        self._begin(epoch, index)
        self._compose.set_random_state(self._numpy, self._python)
        changed: Picture = self._compose(image=picture)["image"]
        if changed.shape != picture.shape or changed.dtype != np.uint8:
            raise DataError(f"augmentation: {_mismatch(', '.join(map(_name, self._transforms)), picture, changed)}")
        return changed

    def check(self, *, image_size: int, channels: int) -> None:
        """Apply the transforms to a blank picture and see that it keeps its size, channels and type.

        Raises:
            DataError: one line that names the transform that fails, or the last that changed the shape.
        """
        if not self._transforms:
            return
        blank = np.full((image_size, image_size, channels), 127, dtype=np.uint8)
        for draw in range(TRIAL_DRAWS):
            self._begin(-1, draw)
            self._compose.set_random_state(self._numpy, self._python)
            picture, culprit = blank, "augmentation"
            for position, transform in enumerate(self._transforms):
                try:
                    # The first trial applies even what is rarely applied.
                    changed = transform(image=picture, force_apply=draw == 0)["image"]
                except Exception as error:
                    height, width = picture.shape[:2]
                    key = _key(position, transform, lambda size, side: size > side, height, width)
                    raise DataError(
                        f"{key}: {_name(transform)} cannot be applied to pictures of {height}x{width} pixels and "
                        f"{channels} channel(s): {_first_line(error)}"
                    ) from error
                if np.shape(changed) != picture.shape or getattr(changed, "dtype", None) != picture.dtype:
                    key = _key(position, transform, lambda size, side: size != side, image_size, image_size)
                    culprit = f"{key}: {_name(transform)}"
                picture = changed
            if np.shape(picture) != blank.shape or getattr(picture, "dtype", None) != np.uint8:
                raise DataError(_mismatch(culprit, blank, picture))

    def _begin(self, epoch: int, index: int) -> None:
        """Set all generators to the beginning of a sample's stream; half the time of making new ones."""
        key = key_digest("augmentation", self._seed, epoch, index)
        self._philox_state["state"]["key"][:] = np.frombuffer(key, dtype="<u8")
        self._philox.state = self._philox_state
        self._python.seed(int.from_bytes(key, "little"))


def _every(transforms: Sequence[Transform]) -> Iterator[Transform]:
    for transform in transforms:
        yield transform
        yield from _every(getattr(transform, "transforms", ()))


def _name(transform: Transform) -> str:
    return type(transform).__name__


def _key(position: int, transform: Transform, differs: Callable[[int, int], bool], height: int, width: int) -> str:
    """Return the key of a transform, with the size, in pixels, that does not go with pictures of `height` x `width`."""
    here = f"augmentation.transforms[{position}]"
    sides = {"height": height, "width": width}
    for name, side in sides.items():
        size = getattr(transform, name, None)
        if isinstance(size, int) and differs(size, side):
            return f"{here}.{name}={size}"
    size = getattr(transform, "size", None)
    if isinstance(size, list | tuple) and any(map(differs, size, sides.values())):
        return f"{here}.size={list(size)}"
    return here


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _mismatch(name: str, before: Picture, after: Picture) -> str:
    def words(picture: Picture) -> str:
        return f"{'x'.join(map(str, np.shape(picture)))} {getattr(picture, 'dtype', type(picture).__name__)}"

    return f"{name} turns a {words(before)} picture into {words(after)}; size, channels and type must stay"
