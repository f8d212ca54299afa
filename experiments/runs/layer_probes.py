"""What the layers respond to, recorded while a network trains: orientation selectivity, and probes of three labels."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from datamodules.classification import ClassificationDataModule
from datamodules.pictures import fit_channels
from datamodules.scenes.probing import KINDS, SMALLEST, probe_pictures
from experiments.errors import UserError
from experiments.measures.layer_record import FloatArray, LayerRecord
from experiments.measures.network import NetworkMeasures
from experiments.measures.orientation import orientation_selectivity
from experiments.measures.probes import probe_error
from experiments.measures.representations import pooled, representations
from experiments.runs.callbacks import Recorder

FILE = "layer_probes.json"
NAMELESS = "network"  # a layer that is the whole network
_BATCH = 64


class LayerProbes(Callback):
    """Records what each layer responds to: before the training, after every `every`-th epoch, and after the last.

    Of each layer (`representations.py`) the median orientation selectivity of its channels, and the error of a linear
    probe for each of the labels of `datamodules.scenes.probing`: as metrics, `selectivity/<layer>` and
    `probe/<label>/<layer>`. The probe of `picture` sees the mean colour alone: it tells what a label can be guessed
    from. Of all pictures the first half is learnt from, the second half held out. The summary of `LayerRecord` is
    recorded at the run's end alone: a number that the last look lacks must not be left over from one before.

    The weights are those that are trained, also where others are averaged from them. Nothing of the training is
    touched: no weight, no statistic, no mode, no random number. One process of several does it. A training that is
    resumed goes on with the record of its checkpoint.

    Args:
        every: epochs from one record to the next.
        images: pictures of each label, both halves together.
        network: the part of the LightningModule that is looked at.
        measures: of it.
        datamodule: says how pictures are normalised.
        recorder: gets the metrics.
    """

    def __init__(
        self,
        every: int,
        images: int,
        network: nn.Module,
        measures: NetworkMeasures,
        datamodule: ClassificationDataModule,
        recorder: Recorder,
    ) -> None:
        self._every, self._images = every, images
        self._network, self._measures, self._datamodule = network, measures, datamodule
        self._recorder = recorder
        self._goes_on = True
        self._layers: dict[str, float] = {}
        self._epochs: list[int] = []
        self._selectivity: list[FloatArray] = []
        self._errors: dict[str, list[FloatArray]] = {kind: [] for kind in KINDS}

    @property
    def record(self) -> LayerRecord:
        """What has been recorded so far."""
        shape = len(self._epochs), len(self._layers)
        return LayerRecord(
            tuple(self._layers),
            tuple(self._layers.values()),
            tuple(self._epochs),
            np.array(self._selectivity).reshape(shape).T,
            {kind: np.array(rows).reshape(shape).T for kind, rows in self._errors.items()},
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Know whether a checkpoint is loaded for training or for a test, and by which process."""
        self._goes_on = stage == "fit" and trainer.is_global_zero

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Record the network before its first step."""
        if not self._epochs:
            self._look(trainer, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Record the network when it is its turn, before the epoch's checkpoint."""
        epoch = trainer.current_epoch + 1
        last = trainer.should_stop or epoch == trainer.max_epochs or trainer.global_step == trainer.max_steps
        if last or epoch % self._every == 0:
            self._look(trainer, epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the record so far."""
        return self.record.as_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the record of a checkpoint, if what it is loaded for is training; other processes have none."""
        if self._goes_on:
            record = LayerRecord.from_dict(state_dict)
            self._layers = dict(zip(record.layers, record.depths, strict=True))
            self._epochs = list(record.epochs)
            self._selectivity = list(record.selectivity.T)
            self._errors = {label: list(errors.T) for label, errors in record.errors.items()}

    def _look(self, trainer: Trainer, epoch: int) -> None:
        if not trainer.is_global_zero:
            return
        device = next(self._network.parameters()).device
        # No network of ours draws random numbers in evaluation mode; one of a user's may.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            errors, depths = self._probe(device)
            normalise = self._datamodule.normalise
            ends = [
                normalise(torch.full((1, self._measures.input_shape[0], 1, 1), value, dtype=torch.uint8)).flatten()
                for value in (0, 255)
            ]
            selectivity = {
                layer.layer: layer.median
                for layer in orientation_selectivity(
                    self._network, self._measures, black=ends[0].tolist(), white=ends[1].tolist()
                )
            }
        self._layers = depths
        self._epochs.append(epoch)
        self._selectivity.append(np.array([selectivity.get(layer, math.nan) for layer in depths]))
        for kind in KINDS:
            self._errors[kind].append(np.array([errors[kind][layer] for layer in depths]))
        numbers = {f"selectivity/{layer or NAMELESS}": value for layer, value in selectivity.items()}
        for kind in KINDS:
            numbers |= {f"probe/{kind}/{layer or NAMELESS}": error for layer, error in errors[kind].items()}
        known = {name: value for name, value in numbers.items() if math.isfinite(value)}
        self._recorder.metrics(known, step=trainer.global_step)

    def _probe(self, device: torch.device) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
        """Return the error by label and layer, and the depth by layer."""
        channels, size, _ = self._measures.input_shape
        weight = next(self._network.parameters())
        half = self._images // 2
        errors: dict[str, dict[str, float]] = {}
        depths: dict[str, float] = {}
        for kind in KINDS:
            pictures, labels = shown(kind, self._images, size, channels)
            batches = (
                self._datamodule.normalise(pictures[first : first + _BATCH].to(device)).to(weight.dtype)
                for first in range(0, len(pictures), _BATCH)
            )
            errors[kind] = {}
            for layer in representations(self._network, batches, self._measures, pooled):
                features = layer.values.double().cpu().numpy()
                depths[layer.layer] = layer.depth
                errors[kind][layer.layer] = probe_error(features[:half], labels[:half], features[half:], labels[half:])
        return errors, depths


def check(input_shape: tuple[int, int, int]) -> None:
    """Refuse pictures that are too small to show a shape.

    Raises:
        UserError: one line.
    """
    if input_shape[1] < SMALLEST:
        raise UserError(
            f"datamodule.image_size={input_shape[1]}: with probe_every it must be at least {SMALLEST}, as probes are "
            "shown edges, textures and shapes"
        )


@cache
def shown(kind: str, count: int, size: int, channels: int) -> tuple[Tensor, NDArray[np.int64]]:
    """Return uint8 pictures `(N, C, S, S)` and their labels: the same for all runs of a process."""
    probe = probe_pictures(kind, count, size)
    rows = [fit_channels(picture.transpose(1, 2, 0), channels).transpose(2, 0, 1) for picture in probe.pictures]
    return torch.from_numpy(np.stack(rows)), probe.labels


def write(run_dir: Path, record: LayerRecord) -> None:
    """Write the record of a training into the run's directory, if there is any."""
    if record.epochs:
        (run_dir / FILE).write_text(json.dumps(record.as_dict()) + "\n", encoding="utf-8")


def read(run_dir: Path) -> LayerRecord | None:
    """Read the record that was written into the run's directory; None where there is none."""
    try:
        return LayerRecord.from_dict(json.loads((run_dir / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
