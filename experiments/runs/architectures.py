"""Networks named on the command line, built without weights: one of conf/model with its overrides, or torchvision's."""

import difflib
import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, compose, nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

TORCHVISION = "torchvision:"
TORCHVISION_INPUT = 224
CLOSEST = 3  # of the many names, those that an error lists
EXAMPLES = ("resnet50", "vgg16", "mobilenet_v3_small", "vit_b_16")
DRAWS = frozenset({"normal_", "uniform_"})
_NETWORK = "model.network"


class Architecture(ABC):
    """A network that can be built for any number of classes and input channels.

    Attributes:
        name: as it is asked for: an option of conf/model, or `torchvision:NAME`.
        image_size: side of the images that it gets if nothing else is said, in pixels.
    """

    name: str
    image_size: int

    @property
    def title(self) -> str:
        """The name, and what was changed of it."""
        return self.name

    @abstractmethod
    def build(self, num_classes: int, in_channels: int) -> "nn.Module":
        """Build the network; its parameters have no numbers where it allows that: no time, no memory.

        Raises:
            UserError: an argument that the network does not take, or not with this value.
        """

    @abstractmethod
    def initialised(self, num_classes: int, in_channels: int, seed: int) -> "nn.Module":
        """Build the network with the weights that it starts from with that seed, on the CPU.

        Raises:
            UserError: as `build`.
        """


@dataclass(frozen=True)
class ConfiguredArchitecture(Architecture):
    """A network of conf/model, from its configuration.

    Attributes:
        network: the configuration under `model.network`, checked against the signature of its target.
        changes: the arguments that were changed, as they were written.
    """

    name: str
    image_size: int
    network: "DictConfig"
    changes: Mapping[str, str]

    @property
    def title(self) -> str:
        """The name, and what was changed of it."""
        changes = ", ".join(f"{argument}={value}" for argument, value in self.changes.items())
        return f"{self.name} with {changes}" if changes else self.name

    @property
    def factory(self) -> Callable[..., Any]:
        """The class that the configuration names."""
        from hydra.utils import get_object  # noqa: PLC0415 - start-up time

        factory: Callable[..., Any] = get_object(self.network._target_)
        return factory

    def changed(self, argument: str, value: float) -> "ConfiguredArchitecture":
        """Return the same architecture with another value of one argument."""
        network = self.network.copy()
        network[argument] = value
        return replace(self, network=network, changes={**self.changes, argument: str(value)})

    def build(self, num_classes: int, in_channels: int) -> "nn.Module":
        """Build the network, without numbers.

        Raises:
            UserError: as `Architecture.build`.
        """
        return _without_weights(lambda: self._made(num_classes, in_channels))

    def initialised(self, num_classes: int, in_channels: int, seed: int) -> "nn.Module":
        """Build the network with the weights that a run with that seed starts from.

        Raises:
            UserError: as `Architecture.build`.
        """
        from lightning_modules.initialisation import initialise  # noqa: PLC0415 - start-up time

        network = self._made(num_classes, in_channels)
        initialise(network, seed)
        return network

    def _made(self, num_classes: int, in_channels: int) -> "nn.Module":
        from hydra.errors import HydraException  # noqa: PLC0415 - start-up time
        from hydra.utils import instantiate  # noqa: PLC0415

        try:
            network: nn.Module = instantiate(
                self.network, num_classes=num_classes, in_channels=in_channels, _convert_="all"
            )
        except HydraException as error:
            text = " ".join(str(error.__cause__ or error).split())
            joint = "." if "=" in text and text.partition("=")[0].isidentifier() else ": "
            raise UserError(f"{_NETWORK}{joint}{text}") from error
        return network


@dataclass(frozen=True)
class TorchvisionArchitecture(Architecture):
    """A network of torchvision."""

    name: str
    builder: Callable[..., Any]
    image_size: int = TORCHVISION_INPUT

    def build(self, num_classes: int, in_channels: int) -> "nn.Module":
        """Build the network, without numbers where its constructor does not compute with them.

        Raises:
            UserError: other than three input channels.
        """
        return _without_weights(lambda: self._made(num_classes, in_channels))

    def initialised(self, num_classes: int, in_channels: int, seed: int) -> "nn.Module":
        """Build the network with the weights that its constructor draws with that seed.

        Raises:
            UserError: as `build`.
        """
        import torch  # noqa: PLC0415 - start-up time

        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            return self._made(num_classes, in_channels)

    def _made(self, num_classes: int, in_channels: int) -> "nn.Module":
        if in_channels != 3:  # noqa: PLR2004 - red, green, blue
            raise UserError(f"in_channels={in_channels}: torchvision's networks take 3")
        arguments: dict[str, Any] = {"weights": None, "num_classes": num_classes}
        if "weights_backbone" in inspect.signature(self.builder).parameters:
            arguments["weights_backbone"] = None
        network: nn.Module = self.builder(**arguments)
        return network


def architecture(overrides: Sequence[str]) -> Architecture:
    """Return the network that the configuration with `overrides`, or `model=torchvision:NAME`, asks for.

    Raises:
        UserError: a name, a key or a value that does not exist.
    """
    asked = next((item for item in reversed(overrides) if item.startswith("model=")), "")
    name = asked.removeprefix("model=")
    if name.startswith(TORCHVISION):
        for item in overrides:
            if not item.startswith("model="):
                raise UserError(f"{item}: torchvision's networks take no such key")
        return named(name, key="model")

    from experiments.runs.validation import check_target  # noqa: PLC0415 - start-up time

    cfg = compose(overrides)
    check_target(_NETWORK, cfg.model.network)
    prefix = f"{_NETWORK}."
    settings = (item.lstrip("+") for item in overrides)
    given = (item.removeprefix(prefix).partition("=") for item in settings if item.startswith(prefix))
    return ConfiguredArchitecture(
        name=str(cfg.choices.model),
        image_size=int(cfg.datamodule.image_size),
        network=cfg.model.network,
        changes={argument: value for argument, _, value in given},
    )


def named(name: str, *, key: str) -> Architecture:
    """Return the network `name`: an option of conf/model, or `torchvision:NAME`.

    Raises:
        UserError: no such network; the nearest spelling is named after `key`.
    """
    if name.startswith(TORCHVISION):
        return TorchvisionArchitecture(name, _torchvision_builder(name, key))
    options = [file.stem for file in (CONFIG_DIR / "model").glob("*.yaml")]
    if name not in options:
        raise UserError(f"{key}={name}: no such network; {nearest(name, options)}, {TORCHVISION}NAME")
    return architecture([f"model={name}"])


def _torchvision_builder(name: str, key: str) -> Callable[..., Any]:
    from torchvision import models  # noqa: PLC0415 - start-up time

    known = models.list_models(models) + models.list_models(models.segmentation) + models.list_models(models.detection)
    word = name.removeprefix(TORCHVISION)
    if word not in known:
        close = difflib.get_close_matches(word, known, n=CLOSEST)
        guess = (
            f"did you mean {' or '.join(map(repr, close))}?"
            if close
            else f"it has {', '.join(EXAMPLES)} and {len(known) - len(EXAMPLES)} more"
        )
        raise UserError(f"{key}={name}: no such network of images in torchvision; {guess}")
    builder: Callable[..., Any] = models.get_model_builder(word)
    return builder


def _without_weights(build: "Callable[[], nn.Module]") -> "nn.Module":
    """Build a network whose parameters have no numbers, if its constructor does not compute with them."""
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

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"), Uninitialised():
                return build()
        except (NotImplementedError, RuntimeError):
            # Some constructors compute with numbers (torchvision's RegNet).
            return build()
