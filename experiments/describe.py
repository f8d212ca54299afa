"""Print the layers of a network, its parameters, MACs and receptive fields, without training it.

whydeep describe model=resnet20 input=32
whydeep describe model=resnet20 model.network.depth=32 input=64x48 json=resnet32.json
whydeep describe model=plain56 match.macs=resnet20 match.by=width
whydeep describe model=torchvision:resnet50 input=224 html=resnet50.html
whydeep describe model=resnet20 effective=16 latency=2 batch=128

keys:
  model=NAME           one of conf/model, with any of its keys as model.network.KEY=VALUE;
                       or torchvision:NAME, any network of torchvision
  input=N | HxW        pixels of the image; 224 for torchvision's networks, otherwise the data set's
  num_classes=N        1000 for images of at least 112 pixels, otherwise 10
  in_channels=3        channels of the image
  match.macs=NAME | N  first give the network as many MACs as that network has (one of conf/model, or
                       torchvision:NAME), or as that number; exit code 1 if it cannot be had within the tolerance
  match.parameters=NAME | N
                       the same with parameters
  match.by=width       what to change for it: width (all channels alike) or depth
  match.tolerance=0.02 largest residual, as a share of the target
  mode=evaluation      or training: with auxiliary heads, and batch norm that sees the whole map
  latency=SECONDS      also time forward passes, for at least so long, and their peak memory
  batch=1              images a pass, for latency
  device=cpu           or cuda, for latency
  effective=N          also measure the effective receptive field at initialisation, over N images of noise
  gradients=N          also measure the norm of the gradient in each layer at initialisation, over N images of noise
  json=FILE            also write all numbers there
  html=FILE            also write a page with all numbers and pictures
  picture=FILE         also draw how the receptive field grows (.png, .svg or .pdf)
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.arguments import split_arguments
from experiments.errors import UserError
from experiments.runs.architectures import Architecture, architecture
from experiments.runs.configuration import nearest
from experiments.runs.match_keys import budget_asked
from experiments.runs.overrides import override_key

if TYPE_CHECKING:
    from experiments.runs.description import Description, ParametersAlone

KEYS = {
    "input": None,
    "num_classes": None,
    "in_channels": "3",
    "match.parameters": None,
    "match.macs": None,
    "match.by": None,
    "match.tolerance": None,
    "mode": "evaluation",
    "latency": None,
    "batch": "1",
    "device": "cpu",
    "effective": None,
    "gradients": None,
    "json": None,
    "html": None,
    "picture": None,
}
# Images from here on are taken for photographs such as ImageNet's, smaller ones for CIFAR's.
LARGE_IMAGE = 112
SUFFIXES = {"json": (".json",), "html": (".html",), "picture": (".png", ".svg", ".pdf")}
# What a network that does not run without numbers cannot be asked for.
NEED_MEASURES = ("effective", "gradients", "latency", "html", "picture")
MODES = ("evaluation", "training")
DEVICES = ("cpu", "cuda")
LONGEST = 3600  # seconds of timing
LARGEST = 10**6  # of a side, the channels or the classes
NOT_MET = 1  # exit code


@dataclass(frozen=True)
class Request:
    """For which image `(C, H, W)` and how many classes to describe a network, and how these were chosen."""

    input_shape: tuple[int, int, int]
    num_classes: int
    remark: str


def main(argv: Sequence[str]) -> int:
    """Describe one network; return the exit code: 1 if a budget was asked for and not met.

    Raises:
        UserError: a mistake in what was asked.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, overrides = split_arguments(argv, KEYS)
    for name in SUFFIXES:
        if (file := keys[name]) is not None:
            _check_file(name, Path(file))
    _check_choices(keys)
    budget = budget_asked(keys)
    _check_overrides(overrides)
    described = architecture(overrides)
    request = _request(described, keys, assumed_model=not any(item.startswith("model=") for item in overrides))
    matched = None if budget is None else budget(overrides, request.input_shape, request.num_classes)
    if matched is not None:
        described = matched.architecture

    remarks = [matched.sentence()] if matched is not None else []
    remarks += [request.remark] if request.remark else []
    description = _described(described, request, keys, remarks)
    from experiments.measures.table import print_measures  # noqa: PLC0415 - start-up time
    from experiments.runs.description import ParametersAlone  # noqa: PLC0415

    if isinstance(description, ParametersAlone):
        print(*description.sentences, sep="\n")
    else:
        print_measures(description.measures, description.title, description.sentences)
    if (file := keys["json"]) is not None:
        content = {"model": described.name, "num_classes": request.num_classes, **description.as_dict()}
        content |= {} if matched is None else {"match": matched.as_dict()}
        _written(Path(file), lambda path: path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8"))
    if not isinstance(description, ParametersAlone):
        _draw(description, keys, shlex.join(["whydeep", "describe", *argv]))
    return 0 if matched is None or matched.within else NOT_MET


def _described(
    described: Architecture, request: Request, keys: Mapping[str, str | None], remarks: Sequence[str]
) -> "Description | ParametersAlone":
    """Measure what was asked.

    Raises:
        UserError: the network cannot take the image, or has not got what was asked.
    """
    # Seconds that --help and mistakes save.
    from experiments.measures.forward import NumbersNeededError  # noqa: PLC0415
    from experiments.measures.network import measure  # noqa: PLC0415
    from experiments.measures.parameters import count_parameters  # noqa: PLC0415
    from experiments.runs import description as known  # noqa: PLC0415

    channels, height, width = shape = request.input_shape
    network = described.build(request.num_classes, channels)
    seen, gradients = None, None
    try:
        measures = measure(network, shape, training=keys["mode"] == "training")
        if (images := keys["effective"]) is not None:
            count = _count("effective", images)
            known.check_memory(measures, "effective", count)
            seen = known.seen_at_initialisation(described, shape, request.num_classes, count)
        if (images := keys["gradients"]) is not None:
            count = _count("gradients", images)
            known.check_memory(measures, "gradients", count)
            gradients = known.gradients_at_initialisation(described, shape, request.num_classes, count)
    except NumbersNeededError as error:
        for key in NEED_MEASURES:
            if keys[key] is not None:
                raise UserError(f"{key}={keys[key]}: model={described.name}: {error}") from error
        return known.ParametersAlone(described.title, count_parameters(network), str(error), tuple(remarks))
    except ValueError as error:
        # The networks name the key that a run has for it.
        text = str(error).rpartition(f"image_size={height}x{width}: ")[2]
        raise UserError(f"input={height}x{width}: model={described.name}: {text}") from error
    latency = None
    if keys["latency"] is not None:
        seconds, batch = _seconds(keys["latency"]), _count("batch", keys["batch"] or "")
        device = _device(keys["device"] or "")
        latency = known.timed(described, shape, request.num_classes, seconds=seconds, batch=batch, device=device)
    return known.Description(described.title, measures, latency, seen, gradients, tuple(remarks))


def _draw(description: "Description", keys: Mapping[str, str | None], command: str) -> None:
    """Write the page and the picture that were asked for."""
    if keys["html"] is None and keys["picture"] is None:
        return
    from experiments.runs.description_page import fields, page  # noqa: PLC0415 - start-up time

    if (file := keys["html"]) is not None:
        text = page(description, command)
        _written(Path(file), lambda path: path.write_text(text, encoding="utf-8"))
    if (file := keys["picture"]) is not None:
        try:
            figure = fields(description)
        except ValueError as error:
            raise UserError(f"picture={file}: {error}") from error
        _written(Path(file), lambda path: figure.savefig(path, dpi=150))


def _check_choices(keys: Mapping[str, str | None]) -> None:
    """Refuse what can be seen to be wrong before anything is built."""
    if keys["mode"] not in MODES:
        raise UserError(f"mode={keys['mode']}: allowed: {', '.join(MODES)}")
    _count("batch", keys["batch"] or "")
    if keys["device"] not in DEVICES:
        raise UserError(f"device={keys['device']}: allowed: {', '.join(DEVICES)}")
    for key in ("effective", "gradients"):
        if (images := keys[key]) is not None:
            _count(key, images)
    if keys["latency"] is not None:
        _seconds(keys["latency"])
        return
    for key in ("batch", "device"):
        if keys[key] != KEYS[key]:
            raise UserError(f"{key}={keys[key]}: goes with latency=SECONDS")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= LONGEST:
        raise UserError(f"latency={text}: must be a number of seconds above 0, up to {LONGEST}")
    return seconds


def _device(name: str) -> str:
    import torch  # noqa: PLC0415 - start-up time

    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: this machine has none; device=cpu needs none")
    return name


def _check_overrides(overrides: Sequence[str]) -> None:
    """Refuse settings of a run that make no difference to its network or its images."""
    for item in overrides:
        key = override_key(item)
        if re.split(r"[.@]", key, maxsplit=1)[0] not in ("model", "datamodule"):
            raise UserError(f"{item}: not a key of describe; {nearest(key, ['model', *KEYS])}")


def _request(described: Architecture, keys: Mapping[str, str | None], *, assumed_model: bool) -> Request:
    given = keys["input"]
    height, width = (described.image_size, described.image_size) if given is None else _size(given)
    channels = _count("in_channels", keys["in_channels"] or "")
    assumed = 1000 if min(height, width) >= LARGE_IMAGE else 10
    num_classes = assumed if keys["num_classes"] is None else _count("num_classes", keys["num_classes"])
    remarks = [f"model={described.name}"] if assumed_model else []
    remarks += [] if given is not None else [f"input={height}x{width}"]
    remarks += [] if keys["num_classes"] is not None else [f"num_classes={num_classes}"]
    remark = f"assumed: {', '.join(remarks)}" if remarks else ""
    return Request((channels, height, width), num_classes, remark)


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().replace("\u00d7", "x").split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 0 < int(side) <= LARGEST for side in sides):  # noqa: PLR2004
        raise UserError(f"input={text}: must be N or HxW in pixels, e.g. 32 or 224x192, each from 1 to {LARGEST:,}")
    return int(sides[0]), int(sides[-1])


def _count(key: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= LARGEST:
        raise UserError(f"{key}={text}: must be a whole number from 1 to {LARGEST:,}")
    return int(text)


def _check_file(key: str, file: Path) -> None:
    """Refuse a file that could not be written once everything is computed."""
    if file.suffix.lower() not in SUFFIXES[key]:
        raise UserError(f"{key}={file}: must end in {' or '.join(SUFFIXES[key])}")
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UserError(f"{key}={file}: the folder {file.parent} does not exist")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK) or folder.is_relative_to("/proc"):
        raise UserError(f"{key}={file}: cannot be written; name a file in a folder that can")


def _written(file: Path, write: Callable[[Path], object]) -> None:
    try:
        write(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from error
    print(f"wrote {file}")
