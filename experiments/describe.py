"""Print the layers of a network, its parameters, MACs and receptive fields, without training it.

whydeep describe model=resnet20 input=32
whydeep describe model=resnet20 model.network.depth=32 input=64x48 json=resnet32.json
whydeep describe model=torchvision:resnet50 input=224 picture=resnet50.png

keys:
  model=NAME           one of conf/model, with any of its keys as model.network.KEY=VALUE;
                       or torchvision:NAME, any network of torchvision
  input=N | HxW        pixels of the image; 224 for torchvision's networks, otherwise the data set's
  num_classes=N        1000 for images of at least 112 pixels, otherwise 10
  in_channels=3        channels of the image
  json=FILE            also write all numbers there
  picture=FILE         also draw how the receptive field grows (.png, .svg or .pdf)
"""

import difflib
import inspect
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.arguments import split_arguments
from experiments.errors import UserError
from experiments.runs.configuration import compose, nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

KEYS = {"input": None, "num_classes": None, "in_channels": "3", "json": None, "picture": None}
TORCHVISION = "torchvision:"
TORCHVISION_INPUT = 224
# Images from here on are taken for photographs such as ImageNet's, smaller ones for CIFAR's.
LARGE_IMAGE = 112
CLOSEST = 6  # of the many names, those that an error lists
DRAWS = frozenset({"normal_", "uniform_"})
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Request:
    """What to describe: the network, the image `(C, H, W)`, the classes and how these were chosen."""

    model: str
    input_shape: tuple[int, int, int]
    num_classes: int
    remark: str


def main(argv: Sequence[str]) -> int:
    """Describe one network; return the exit code.

    Raises:
        UserError: a mistake in what was asked.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, overrides = split_arguments(argv, KEYS)
    for name, suffixes in (("json", (".json",)), ("picture", PICTURE_SUFFIXES)):
        if (file := keys[name]) is not None:
            _check_file(name, Path(file), suffixes)
    name = next((item.removeprefix("model=") for item in reversed(overrides) if item.startswith("model=")), "")
    if name.startswith(TORCHVISION):
        others = [item for item in overrides if not item.startswith("model=")]
        if others:
            raise UserError(f"{others[0]}: torchvision's networks take no such key; allowed: {', '.join(KEYS)}")
        request = _request(name, keys, TORCHVISION_INPUT)
        build = _torchvision(request)
    else:
        cfg = _composed(overrides)
        request = _request(str(cfg.choices.model), keys, int(cfg.datamodule.image_size))
        build = _configured(cfg, request)

    # Seconds that --help and mistakes save.
    from experiments.measures.network import measure  # noqa: PLC0415
    from experiments.measures.table import print_measures  # noqa: PLC0415

    network = build()
    try:
        measures = measure(network, request.input_shape)
    except ValueError as error:
        raise UserError(f"model={request.model}: {error}") from error
    print_measures(measures, request.model, request.remark)
    if (file := keys["json"]) is not None:
        content = {"model": request.model, "num_classes": request.num_classes, **measures.as_dict()}
        _written(Path(file), lambda path: path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8"))
    if (file := keys["picture"]) is not None:
        from experiments.measures.drawing import draw_receptive_fields  # noqa: PLC0415

        try:
            figure = draw_receptive_fields(measures)
        except ValueError as error:
            raise UserError(f"picture={file}: {error}") from error
        _written(Path(file), lambda path: figure.savefig(path, dpi=150))
    return 0


def _composed(overrides: Sequence[str]) -> "DictConfig":
    """Compose the configuration; only the model's keys and the choice of the data set make a difference here."""
    for item in overrides:
        key = re.split(r"[.=@]", item.lstrip("+~"), maxsplit=1)[0]
        if key not in ("model", "datamodule"):
            raise UserError(f"{item}: not a key of describe; {nearest(key, ['model', *KEYS])}")
    return compose(overrides)


def _request(model: str, keys: dict[str, str | None], default_size: int) -> Request:
    given = keys["input"]
    height, width = (default_size, default_size) if given is None else _size(given)
    channels = _count("in_channels", keys["in_channels"] or "")
    assumed = 1000 if min(height, width) >= LARGE_IMAGE else 10
    num_classes = assumed if keys["num_classes"] is None else _count("num_classes", keys["num_classes"])
    remarks = [] if given is not None else [f"input={height}x{width}"]
    remarks += [] if keys["num_classes"] is not None else [f"num_classes={num_classes}"]
    remark = f"assumed: {', '.join(remarks)}" if remarks else ""
    return Request(model, (channels, height, width), num_classes, remark)


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().replace("\u00d7", "x").split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):  # noqa: PLR2004 - H and W
        raise UserError(f"input={text}: must be N or HxW in pixels, e.g. 32 or 224x192")
    return int(sides[0]), int(sides[-1])


def _count(key: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{key}={text}: must be a whole number of at least 1")
    return int(text)


def _configured(cfg: "DictConfig", request: Request) -> "Callable[[], nn.Module]":
    """Return the builder of a network of ours, from its configuration."""
    from hydra.errors import HydraException  # noqa: PLC0415 - start-up time
    from hydra.utils import instantiate  # noqa: PLC0415

    from experiments.runs.validation import check_target  # noqa: PLC0415

    check_target("model.network", cfg.model.network)

    def build() -> Any:  # noqa: ANN401 - whatever the target makes
        try:
            return instantiate(
                cfg.model.network,
                num_classes=request.num_classes,
                in_channels=request.input_shape[0],
                _convert_="all",
            )
        except HydraException as error:
            text = " ".join(str(error.__cause__ or error).split())
            joint = "." if "=" in text and text.partition("=")[0].isidentifier() else ": "
            raise UserError(f"model.network{joint}{text}") from error

    return _weightless(build)


def _torchvision(request: Request) -> "Callable[[], nn.Module]":
    """Return the builder of one of torchvision's networks."""
    from torchvision import models  # noqa: PLC0415 - start-up time

    name = request.model.removeprefix(TORCHVISION)
    known = models.list_models(models) + models.list_models(models.segmentation) + models.list_models(models.detection)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=CLOSEST, cutoff=0.0)
        raise UserError(f"model={request.model}: no such network of images in torchvision; {nearest(name, close)} …")
    if request.input_shape[0] != 3:  # noqa: PLR2004 - red, green, blue
        raise UserError(f"in_channels={request.input_shape[0]}: torchvision's networks take 3")
    builder = models.get_model_builder(name)
    arguments: dict[str, Any] = {"weights": None, "num_classes": request.num_classes}
    if "weights_backbone" in inspect.signature(builder).parameters:
        arguments["weights_backbone"] = None
    return _weightless(lambda: builder(**arguments))


def _weightless(build: "Callable[[], nn.Module]") -> "Callable[[], nn.Module]":
    """Return a builder that makes parameters without numbers where the network allows it: no time, no memory."""
    import torch  # noqa: PLC0415 - start-up time
    from torch.overrides import TorchFunctionMode  # noqa: PLC0415

    class Uninitialised(TorchFunctionMode):
        """Skip drawing numbers that nobody keeps."""

        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: object,
            args: Sequence[Any] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:  # noqa: ANN401 - whatever the function returns
            kwargs = kwargs or {}
            if func.__name__ in DRAWS:
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    def without_weights() -> "nn.Module":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with torch.device("meta"), Uninitialised():
                    return build()
            except (NotImplementedError, RuntimeError):
                # Some constructors compute with numbers (torchvision's RegNet).
                return build()

    return without_weights


def _check_file(key: str, file: Path, suffixes: tuple[str, ...]) -> None:
    if file.suffix.lower() not in suffixes:
        raise UserError(f"{key}={file}: must end in {' or '.join(suffixes)}")
    if not file.absolute().parent.is_dir():
        raise UserError(f"{key}={file}: the folder {file.parent} does not exist")


def _written(file: Path, write: Callable[[Path], object]) -> None:
    try:
        write(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from error
    print(f"wrote {file}")
