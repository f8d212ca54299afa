"""Checkpoints of others: reading their tensors, and running nothing that the file holds."""

import hashlib
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from experiments.errors import UserError
from experiments.runs.configuration import nearest

# Where training scripts put the weights among the other things that they save.
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "network")


class StateDict(NamedTuple):
    """What a checkpoint holds of a network: tensors by name, and the names of what stood beside them."""

    tensors: dict[str, Tensor]
    left_out: tuple[str, ...] = ()


def read_checkpoint(path: Path, named: str) -> StateDict:
    """Read the state dict of a file of torch, of Lightning or of safetensors (by its ending `.safetensors`).

    It is looked for under the usual keys, else wherever the only mapping of names to tensors is.

    Args:
        path: the file.
        named: what an error calls it.

    Raises:
        UserError: no such file, damaged, holds something that could run code, or not one state dict.
    """
    if not path.is_file():
        problem = "is a folder, not a checkpoint file" if path.is_dir() else "no such checkpoint file"
        raise UserError(f"{named}: {problem}")
    content = _safetensors(path, named) if path.suffix.lower() == ".safetensors" else _unpickled(path, named)
    found = _state_dicts(content)
    if len(found) > 1:
        raise UserError(f"{named}: holds several state dicts ({', '.join(found)}); save the wanted one alone")
    if not found:
        raise UserError(
            f"{named}: holds no state dict; expected names with tensors, at the top or under a key such as "
            f"{', '.join(CONTAINERS)}"
        )
    (state_dict,) = found.values()
    return StateDict(
        {name: value for name, value in state_dict.items() if isinstance(value, Tensor)},
        tuple(name for name, value in state_dict.items() if not isinstance(value, Tensor)),
    )


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors: their names, types, shapes and bytes, whatever file they lie in; hexadecimal.

    What stands beside them, such as the times of a training, does not count: a training that is repeated to the bit
    leaves other files with the same digest.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def published(architecture: str | None, name: str, named: str) -> StateDict:
    """Return the weights that torchvision publishes of `architecture` as `name`, fetched where they are not cached.

    Raises:
        UserError: it publishes none of that name, or they cannot be fetched.
    """
    from torchvision import models  # noqa: PLC0415 - two seconds that only this source needs

    try:
        weights = models.get_model_weights(str(architecture))
    except ValueError as error:
        raise UserError(f"{named}: torchvision publishes none for '{architecture}'") from error
    if name not in weights.__members__:
        raise UserError(f"{named}: unknown; {nearest(name, weights.__members__)}")
    try:
        return StateDict(dict(weights[name].get_state_dict(progress=True, check_hash=True, weights_only=True)))
    except OSError as error:
        raise UserError(f"{named}: cannot be fetched ({error}); give a file instead") from error


class Inert:
    """Stands for a plain value beside the weights: takes whatever a pickle hands over, keeps and does nothing."""

    def __new__(cls, *_: object) -> Self:
        """Forget the arguments."""
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        """Forget the state."""


def empty_dict(*_: object) -> dict[object, object]:
    """Stand for a dictionary with a default: a plain one, which makes nothing up."""
    return {}


# What training scripts put beside the weights (options, folders, accuracies, histories), by the names that pickles
# have for it: of numpy 1 and 2, of Python before 3.13 and since. None of the real classes is ever called.
ADMITTED: dict[str, Callable[..., object]] = {
    "collections.defaultdict": empty_dict,
    "argparse.Namespace": Inert,
    **{f"builtins.{name}": Inert for name in ("bool", "dict", "float", "int", "list", "str", "tuple")},
    **{
        f"{module}.{name}": Inert
        for module in ("pathlib", "pathlib._local")
        for name in ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
    },
    **{f"numpy.{name}": Inert for name in ("dtype", "ndarray", "bool_", "float32", "float64", "int32", "int64")},
    **{
        f"numpy.{module}.multiarray.{name}": Inert
        for module in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    },
}


def _unpickled(path: Path, named: str) -> object:
    try:
        admitted = torch.serialization.safe_globals([(stand_in, name) for name, stand_in in ADMITTED.items()])
        with admitted, warnings.catch_warnings():
            # Of an archive of TorchScript, torch warns before it refuses.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # What torch.load raises of a file that is none of its own is of any class, and long.
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise UserError(
                f"{named}: holds {refused[1]}, which could run code and is not loaded; save the state dict alone"
            ) from error
        if "TorchScript" in str(error):
            raise UserError(f"{named}: an archive of TorchScript; save the state dict of its module alone") from error
        raise UserError(f"{named}: not a checkpoint of torch, or a damaged one") from error


def _safetensors(path: Path, named: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError  # noqa: PLC0415 - only these files need it
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{named}: not a file of safetensors, or a damaged one ({error})") from error


def _state_dicts(content: object, place: str = "", depth: int = 3) -> dict[str, Mapping[str, object]]:
    """Return, by the place in `content`, every mapping of names to tensors that could be of a network.

    A network has at least one tensor of two dimensions or more; single numbers such as a best accuracy do not make a
    state dict. An optimizer's state is keyed by numbers.
    """
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}
    for usual in CONTAINERS:
        if inner := _state_dicts(content.get(usual), f"{place}{usual}.", depth - 1):
            return inner
    if any(isinstance(value, Tensor) and value.dim() > 1 for value in content.values()):
        return {place.rstrip(".") or "the top": content}
    found: dict[str, Mapping[str, object]] = {}
    if depth:
        for name, value in content.items():
            found |= _state_dicts(value, f"{place}{name}.", depth - 1)
    return found
