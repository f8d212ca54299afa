"""The multi-task loss, against its formula written out."""

import torch

from lightning_modules.multi_task_loss import multi_task_loss
from lightning_modules.networks.fast_rcnn import RegionPredictions


def test_the_loss_is_the_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, offsets = torch.randn(6, 4, generator=generator), 2 * torch.randn(6, 3, 4, generator=generator)
    labels, targets = torch.tensor([0, 3, 2, 1, 3, 0]), torch.randn(6, 4, generator=generator)
    classification = localisation = 0.0
    for region, label in enumerate(labels.tolist()):
        classification -= float(logits[region].softmax(dim=0)[label].log()) / 6
        if label < 3:
            for side in range(4):
                off = abs(float(offsets[region, label, side] - targets[region, side]))
                localisation += (0.5 * off**2 if off < 1 else off - 0.5) / 6
    loss = multi_task_loss(RegionPredictions(logits, offsets), labels, targets)
    torch.testing.assert_close(loss.classification, torch.tensor(classification))
    torch.testing.assert_close(loss.localisation, torch.tensor(localisation))


def test_background_alone_trains_no_box() -> None:
    offsets = torch.randn(2, 3, 4, requires_grad=True)
    labels, targets = torch.tensor([3, 3]), torch.full((2, 4), float("nan"))
    loss = multi_task_loss(RegionPredictions(torch.zeros(2, 4), offsets), labels, targets)
    torch.autograd.backward(loss.localisation)
    assert loss.localisation.item() == 0.0
    assert offsets.grad is not None
    assert not offsets.grad.any()
