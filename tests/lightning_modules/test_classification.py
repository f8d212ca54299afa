"""The classification task: exact errors, losses, and what it refuses."""

from functools import partial
from typing import NamedTuple, cast

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightning_modules.classification import ClassificationBatch, ClassificationModule, ErrorCounts


def batches(count: int, size: int, *, classes: int = 7, seed: int = 0) -> list[ClassificationBatch]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "image": torch.randn(size, 3, 4, 4, generator=generator),
            "label": torch.randint(classes, (size,), generator=generator),
        }
        for _ in range(count)
    ]


def network(classes: int = 7) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, classes))


def loader(data: list[ClassificationBatch]) -> DataLoader[ClassificationBatch]:
    return DataLoader(cast("Dataset[ClassificationBatch]", data), batch_size=None)


def trainer(epochs: int = 1) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def errors_of(module: ClassificationModule, data: list[ClassificationBatch]) -> dict[str, float]:
    testing = trainer()
    testing.test(module, loader(data), verbose=False)
    return {name: float(value) for name, value in testing.callback_metrics.items()}


def test_errors_are_exact_over_uneven_batches() -> None:
    data = [*batches(2, 8), *batches(1, 3, seed=1)]
    module = ClassificationModule(network(), num_classes=7)
    measured = errors_of(module, data)

    images = torch.cat([batch["image"] for batch in data])
    labels = torch.cat([batch["label"] for batch in data])
    logits = module(images).detach()
    top5 = logits.topk(5).indices
    assert measured["test/top1_error"] == pytest.approx(100 * float((logits.argmax(1) != labels).float().mean()))
    assert measured["test/top5_error"] == pytest.approx(
        100 * float((top5 != labels[:, None]).all(dim=1).float().mean())
    )
    assert measured["test/loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)


def test_error_per_class_and_confusion() -> None:
    counts = ErrorCounts(3, [1])
    logits = torch.tensor([[2.0, 1, 0], [2, 1, 0], [0, 3, 1], [3, 0, 1]])
    counts.update(logits, torch.tensor([0, 1, 1, 0]), torch.tensor(1.0))
    assert counts.confusion.tolist() == [[2, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert counts.error_per_class() == [0.0, 50.0, None]
    assert counts.errors() == {"loss": 1.0, "top1_error": 25.0}


def test_constant_and_broken_scores_are_not_right() -> None:
    counts = ErrorCounts(4, [1, 2])
    label = torch.arange(4)
    counts.update(torch.zeros(4, 4), label, torch.tensor(0.0))
    assert counts.errors()["top1_error"] == 75.0
    assert counts.errors()["top2_error"] == 50.0
    counts.reset()
    counts.update(torch.full((4, 4), torch.nan), label, torch.tensor(0.0))
    assert counts.errors()["top1_error"] == 100.0


def test_nothing_counted_is_no_error() -> None:
    assert ErrorCounts(4, [1]).errors() == {}


class Several(NamedTuple):
    logits: Tensor
    aux: Tensor


class WithAuxiliaryHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main = network()
        self.aux = network()

    def forward(self, image: Tensor) -> Tensor | Several:
        return Several(self.main(image), self.aux(image)) if self.training else self.main(image)


def test_auxiliary_heads_count_with_their_weight_in_training_alone() -> None:
    batch = batches(1, 5)[0]
    module = ClassificationModule(WithAuxiliaryHead(), num_classes=7, aux_weight=0.25)
    heads = module.network
    assert isinstance(heads, WithAuxiliaryHead)
    expected = F.cross_entropy(heads.main(batch["image"]), batch["label"])
    expected = expected + 0.25 * F.cross_entropy(heads.aux(batch["image"]), batch["label"])
    assert module.training_step(batch, 0).item() == pytest.approx(expected.item())
    assert torch.equal(module.eval()(batch["image"]), heads.main(batch["image"]))


def test_label_smoothing_is_of_the_training_alone() -> None:
    batch = batches(1, 6)[0]
    module = ClassificationModule(network(), num_classes=7, label_smoothing=0.2)
    logits = module(batch["image"])
    smoothed = F.cross_entropy(logits, batch["label"], label_smoothing=0.2)
    assert module.training_step(batch, 0).item() == pytest.approx(smoothed.item())
    measured = errors_of(module, [batch])
    assert measured["test/loss"] == pytest.approx(F.cross_entropy(logits, batch["label"]).item())


def test_the_errors_asked_for_by_default_depend_on_the_number_of_classes() -> None:
    def asked(classes: int) -> tuple[int, ...]:
        return ClassificationModule(network(classes), num_classes=classes).test_counts.top_k

    assert asked(10) == (1, 5)
    assert asked(5) == (1,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": [1, 5], "num_classes": 3}, r"top_k=\[1, 5\]: the top-5 error of 3 classes"),
        ({"top_k": [0], "num_classes": 3}, r"top_k=\[0\]"),
        ({"top_k": [2], "num_classes": 9}, "must contain 1"),
        ({"label_smoothing": 1.0, "num_classes": 3}, r"label_smoothing=1\.0"),
        ({"aux_weight": -1.0, "num_classes": 3}, r"aux_weight=-1\.0"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassificationModule(network(), **arguments)  # type: ignore[arg-type]


def test_training_without_an_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="optimizer: missing"):
        trainer().fit(ClassificationModule(network(), num_classes=7), loader(batches(1, 4)))


def test_dropout_draws_depend_on_seed_and_step_alone() -> None:
    def weights(seed: int, *, disturbed: bool) -> Tensor:
        torch.manual_seed(5)
        head = nn.Linear(48, 7)
        net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), head)
        if disturbed:
            torch.rand(100)
        module = ClassificationModule(
            net, num_classes=7, seed=seed, optimizer=partial(torch.optim.SGD, lr=0.1), scheduler=None
        )
        trainer().fit(module, loader(batches(4, 8)))
        return head.weight.detach()

    assert torch.equal(weights(1, disturbed=False), weights(1, disturbed=True))
    assert not torch.equal(weights(1, disturbed=False), weights(2, disturbed=False))
