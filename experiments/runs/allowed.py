"""What a configuration that comes back from a store may name: it is somebody's text, and what it names is called."""

import importlib
import inspect
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig

from experiments.errors import UserError

# Classes and functions that these packages define themselves; what they import is not theirs.
PACKAGES = (
    "albumentations",
    "datamodules",
    "experiments.tracking",
    "lightning_modules",
    "pytorch_lightning.trainer",
    "torch.optim",
)
# Where a package shows them under a shorter name.
SHOWN_AS = {"pytorch_lightning.Trainer": "pytorch_lightning.trainer.trainer.Trainer"}


def check_allowed(cfg: DictConfig) -> None:
    """Refuse a configuration from a store that names a target outside of the allowed packages.

    Raises:
        UserError: the key and the target.
    """
    for key, target in _targets(cfg, ""):
        if not _is_allowed(SHOWN_AS.get(target, target)):
            raise _refused(key, target)


def check_named(cfg: DictConfig) -> None:
    """Do as much of `check_allowed` as can be done without importing: the code may be that of another commit.

    Raises:
        UserError: the key and the target.
    """
    for key, target in _targets(cfg, ""):
        if not _within(SHOWN_AS.get(target, target).rpartition(".")[0]):
            raise _refused(key, target)


def _refused(key: str, target: str) -> UserError:
    return UserError(
        f"{key}={target}: a recorded configuration may name only classes and functions of {', '.join(PACKAGES)}"
    )


def _is_allowed(target: str) -> bool:
    """Tell whether `target` is a class or function that an allowed package defines, not one that it imports."""
    module, _, name = target.rpartition(".")
    if not _within(module):
        return False
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        # `package.module.Class.method`, or `package.module.imported.function`: no module, and not looked into.
        return False
    return (inspect.isclass(found) or inspect.isfunction(found)) and _within(found.__module__)


def _within(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in PACKAGES)


def _targets(node: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, DictConfig | dict):
        for name, value in node.items():
            here = f"{path}.{name!s}" if path else str(name)
            if name == "_target_":
                yield here, str(value)
            else:
                yield from _targets(value, here)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for position, value in enumerate(node):
            yield from _targets(value, f"{path}[{position}]")
