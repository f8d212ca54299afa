"""From a configuration to what it names: data, network, LightningModule, trainer."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pydantic
import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from torch import nn

from datamodules.classification import ClassificationDataModule
from experiments.errors import UserError
from experiments.measures.network import NetworkMeasures, measure
from experiments.measures.parameters import count_parameters
from experiments.runs import processes
from experiments.runs.layer_probes import check as check_probed
from experiments.runs.options import RunOptions
from experiments.runs.ranges import check_batches
from experiments.runs.start import Start, begin_from, fine_tuning
from experiments.runs.validation import BUILDER_KEYS, validate
from lightning_modules.classification import ClassificationModule
from lightning_modules.fine_tuning import FineTuning, check_rates
from lightning_modules.initialisation import initialise

_TRIED_STEPS = 10


@dataclass(frozen=True)
class Assembly:
    """A run, built and checked, before its first step; `start` is `None` where it starts from random weights."""

    cfg: DictConfig
    options: RunOptions
    datamodule: ClassificationDataModule
    network: nn.Module
    module: ClassificationModule
    measures: NetworkMeasures
    start: Start | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of the pictures that the network gets, in pixels."""
        spec = self.datamodule.spec
        return (spec.channels, spec.image_size, spec.image_size)


def assemble(cfg: DictConfig) -> Assembly:
    """Validate `cfg`, open its data, build and measure its network.

    Raises:
        UserError: what is asked cannot be: one line that names key, value and what is allowed.
    """
    options = validate(cfg)
    datamodule = build_datamodule(cfg)
    spec = datamodule.spec
    check_batches(cfg, {name: len(getattr(datamodule.split, name)) for name in ("train", "val", "test")})
    network = build_network(cfg, spec.num_classes, spec.channels)
    measures = measure_network(cfg, network, (spec.channels, spec.image_size, spec.image_size))
    if options.probe_every:
        check_probed(measures.input_shape)
    # Weights come after the first random numbers that any component draws: seeded by module, they depend on no order.
    initialise(network, options.seed)
    start = None
    if cfg.model.weights is not None:
        start = begin_from(cfg, network, measures)
        cfg = start.recorded_in(cfg)
    module = build_module(cfg, network, spec.num_classes, fine_tuning(cfg, network, measures))
    if module.fine_tuning.frozen:
        measures = replace(measures, trainable_parameters=count_parameters(network).trainable)
    _try_optimizer(cfg, module)
    build_trainer(cfg, callbacks=[], logger=None, run_dir=cfg.runs_dir)
    return Assembly(cfg, options, datamodule, network, module, measures, start)


def build_datamodule(cfg: DictConfig) -> ClassificationDataModule:
    """Open the data set: split, digest and normalisation are known afterwards.

    Raises:
        UserError: missing or broken data, an impossible setting, or a transform that cannot be applied.
    """
    transforms = [
        _make(f"augmentation.transforms[{position}]", entry)
        for position, entry in enumerate(cfg.augmentation.transforms)
    ]
    with _user_errors("datamodule"):
        datamodule = _make("datamodule", cfg.datamodule, augmentation=transforms)
        if not isinstance(datamodule, ClassificationDataModule):
            raise UserError(f"datamodule._target_={cfg.datamodule._target_}: is no data set for classification")
        datamodule.prepare_data()
        datamodule.setup()
    return datamodule


def build_network(cfg: DictConfig, num_classes: int, in_channels: int) -> nn.Module:
    """Build the network of `cfg.model` for that many classes and input channels.

    Raises:
        UserError: an argument that the network does not take, or not with this value.
    """
    node = cfg.model.network
    filled = {"num_classes": num_classes, "in_channels": in_channels}
    injected = {name: value for name, value in filled.items() if node.get(name) is None}
    network = _make("model.network", node, **injected)
    if not isinstance(network, nn.Module):
        raise UserError(f"model.network._target_={node._target_}: is no torch.nn.Module")
    return network


def build_module(
    cfg: DictConfig, network: nn.Module, num_classes: int, fine_tuning: FineTuning | None = None
) -> ClassificationModule:
    """Wrap `network` in its task's LightningModule, with the optimizer and the schedule of `cfg`.

    Raises:
        UserError: an impossible setting, such as the top-5 error of three classes.
    """
    node = OmegaConf.create({name: value for name, value in cfg.model.items() if name not in BUILDER_KEYS["model"]})
    module = _make(
        "model",
        node,
        network=network,
        num_classes=num_classes,
        optimizer=_make("optimizer", cfg.optimizer),
        scheduler=_make("scheduler", cfg.scheduler),
        seed=int(cfg.seed),
        fine_tuning=fine_tuning,
    )
    if not isinstance(module, ClassificationModule):
        raise UserError(f"model._target_={cfg.model._target_}: is no ClassificationModule")
    return module


def build_trainer(cfg: DictConfig, *, callbacks: Sequence[Callback], logger: Logger | None, run_dir: str) -> Trainer:
    """Build Lightning's trainer; what a run decides itself is set here.

    Raises:
        UserError: what Lightning refuses: an accelerator that is not there, an unknown precision …
    """
    accelerator = cfg.trainer.accelerator
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available() and not torch.backends.mps.is_available():
        raise UserError(f"trainer.accelerator={accelerator}: this machine has none; trainer=cpu needs none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = _make(
            "trainer",
            cfg.trainer,
            callbacks=list(callbacks),
            logger=logger if logger is not None else False,
            default_root_dir=run_dir,
            # Without a callback of ours, Lightning would add its own and write into the current folder.
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            strategy=processes.strategy(cfg),
            num_sanity_val_steps=0,
        )
    if not isinstance(trainer, Trainer):
        raise UserError(f"trainer._target_={cfg.trainer._target_}: is no pytorch_lightning.Trainer")
    return trainer


def measure_network(cfg: DictConfig, network: nn.Module, input_shape: tuple[int, int, int]) -> NetworkMeasures:
    """Measure `network` at `(C, H, W)`.

    Raises:
        UserError: the network cannot take that input; the smallest that it can is named.
    """
    try:
        return measure(network, input_shape)
    except ValueError as error:
        name = cfg.choices.get("model") or cfg.model.network._target_
        raise UserError(f"model={name}: {str(error).splitlines()[0]}") from error


def _make(key: str, node: DictConfig, **injected: object) -> Any:  # noqa: ANN401 - whatever the target makes
    """Call the target of `node`; a mistake in its arguments is the user's."""
    partial = bool(node.get("_partial_", False))
    with _user_errors(key):
        factory = instantiate(node, _partial_=True, _convert_="all")
        return factory if partial else factory(**injected)


@contextlib.contextmanager
def _user_errors(key: str) -> Iterator[None]:
    """Turn what a constructor refuses into one line that begins with the key."""
    try:
        yield
    except UserError:
        raise
    except _REFUSALS as error:
        if refused := _refused_argument(error):
            raise UserError(f"{key}{refused}") from error
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if text.startswith("augmentation"):
            # The data set applies the transforms, but they are another setting.
            raise UserError(text) from error
        name = text.partition("=")[0]
        joint = "." if name.replace(".", "").isidentifier() and "=" in text else ": "
        raise UserError(f"{key}{joint}{text}") from error


def _refused_argument(error: BaseException | None) -> str | None:
    """Return `.key=value: what is allowed` where pydantic refused, as for the transforms of Albumentations."""
    while error is not None and not isinstance(error, pydantic.ValidationError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    first = error.errors()[0]
    where = f".{first['loc'][0]}={first['input']}" if first["loc"] else ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"


_REFUSALS = (ValueError, TypeError, HydraException, RuntimeError, OSError, ImportError, MisconfigurationException)


def _try_optimizer(cfg: DictConfig, module: ClassificationModule) -> None:
    """Build the optimizer and the schedule once, so that a wrong value fails before training."""
    scheduler = _make("scheduler", cfg.scheduler)
    with _user_errors("optimizer"):
        built = _make("optimizer", cfg.optimizer)([nn.Parameter(torch.zeros(1))])
    with _user_errors("scheduler"):
        scheduler(built, total_steps=_TRIED_STEPS)
    if (factor := module.fine_tuning.trunk_lr_factor) != 1:
        with _user_errors("model"):
            built = module.make_optimizer()
            check_rates(built, scheduler(built, total_steps=_TRIED_STEPS), factor, steps=_TRIED_STEPS)
