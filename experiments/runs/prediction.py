"""Classifying any picture with the best checkpoint of a recorded run; its data set need not be there."""

from pathlib import Path

import torch

from datamodules.pictures import Picture, fit_channels, fit_square
from experiments.runs.allowed import check_allowed
from experiments.runs.build import build_network
from experiments.runs.configuration import load
from experiments.runs.record import CONFIG_FILE
from experiments.runs.recorded import recorded_data
from experiments.runs.weight_sources import best_checkpoint
from experiments.runs.weights import load_weights


class Predictor:
    """The network of a recorded run, with what its pictures are brought to.

    Raises:
        UserError: no run, no checkpoint, or a configuration that names what it may not.
    """

    def __init__(self, run_dir: Path) -> None:
        cfg = load(run_dir / CONFIG_FILE)
        check_allowed(cfg)
        data = recorded_data(run_dir)
        self.class_names, self.channels, self.image_size = data.class_names, data.channels, data.image_size
        self.normalisation = data.normalisation
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
