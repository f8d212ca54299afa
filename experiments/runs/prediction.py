"""Classifying any picture with the best checkpoint of a recorded run; its data set need not be there."""

import json
from pathlib import Path

import torch

from datamodules.normalisation import Normalisation
from datamodules.pictures import Picture, fit_channels, fit_square
from experiments.errors import UserError
from experiments.runs.allowed import check_allowed
from experiments.runs.build import build_network
from experiments.runs.configuration import load
from experiments.runs.record import CONFIG_FILE, DATA_FILE
from experiments.runs.recorded import best_checkpoint
from experiments.runs.weights import load_weights


class Predictor:
    """The network of a recorded run, with what its pictures are brought to.

    Raises:
        UserError: no run, no checkpoint, or a configuration that names what it may not.
    """

    def __init__(self, run_dir: Path) -> None:
        cfg = load(run_dir / CONFIG_FILE)
        check_allowed(cfg)
        try:
            recorded = json.loads((run_dir / DATA_FILE).read_text(encoding="utf-8"))
            spec, normalisation = recorded["spec"], recorded["normalisation"]
            self.class_names = tuple(map(str, spec["class_names"]))
            self.channels, self.image_size = int(spec["channels"]), int(spec["image_size"])
            self.normalisation = Normalisation(tuple(normalisation["mean"]), tuple(normalisation["std"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{run_dir / DATA_FILE}: missing or not what a run writes ({error})") from error
        self.network = build_network(cfg, len(self.class_names), self.channels)
        load_weights(self.network, str(best_checkpoint(run_dir)), key_map=None)
        self.network.eval()

    @torch.no_grad()
    def classify(self, picture: Picture, top: int = 5) -> list[tuple[str, float]]:
        """Return the `top` likeliest classes of a picture, uint8 `(H, W)` or `(H, W, C)`, with their probabilities."""
        square = fit_square(fit_channels(picture, self.channels), self.image_size)
        image = torch.from_numpy(square.transpose(2, 0, 1).copy())[None]
        probabilities = self.network(self.normalisation(image)).float().softmax(dim=1)[0]
        best = probabilities.topk(min(top, len(self.class_names)))
        return [(self.class_names[index], float(value)) for value, index in zip(*best, strict=True)]
