"""Image classification: top-1 and top-5 error, per-class error, confusion matrix."""

from collections.abc import Sequence
from typing import Any, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.fine_tuning import FineTuning
from lightning_modules.training import OptimizerFactory, SchedulerFactory, TrainingModule


class ClassificationBatch(TypedDict):
    """What a classification step reads of a batch.

    `image`: float `(N, C, H, W)`, normalised. `label`: int64 `(N,)`, in `0 … num_classes - 1`.
    """

    image: Tensor
    label: Tensor


class ErrorCounts:
    """Sums from which a split's errors follow exactly: added up on the device, over any number of processes.

    They are no buffers of the module: what averages its weights would average them too, and data-parallel training
    would replace those of each process by those of the first.

    Args:
        num_classes: K.
        top_k: the x of each top-x error.

    Attributes:
        confusion: int64 `(K, K)`, rows the true classes.
        missed: int64 `(len(top_k),)`, the samples that miss each top x.
        loss: the sum of the losses, a scalar of 64 bits where the device has them.
    """

    def __init__(self, num_classes: int, top_k: Sequence[int]) -> None:
        self.num_classes = num_classes
        self.top_k = tuple(top_k)
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.confusion = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)
        self.missed = torch.zeros(len(self.top_k), dtype=torch.int64)
        self.loss = torch.zeros((), dtype=torch.float64)

    @torch.no_grad()
    def update(self, logits: Tensor, label: Tensor, loss: Tensor) -> None:
        """Count a batch: `logits` float `(N, K)`, `label` int64 `(N,)`, `loss` the batch's mean.

        A label misses the top x when at least x other classes score higher; a tie counts for the lower class index,
        so that constant logits are not counted as right.
        """
        self._move(logits.device)
        own = logits.gather(1, label[:, None])
        ahead = (logits > own) | (
            (logits == own) & (torch.arange(self.num_classes, device=label.device) < label[:, None])
        )
        # A score that is not a number is ahead of everything: a diverged network is never right.
        rank = (ahead | logits.isnan() | own.isnan()).sum(dim=1)
        for position, k in enumerate(self.top_k):
            self.missed[position] += (rank >= k).sum()
        answers = label * self.num_classes + logits.argmax(dim=1)
        # Unlike bincount, this does not wait for a GPU to learn the largest answer.
        self.confusion.view(-1).scatter_add_(0, answers, torch.ones_like(answers))
        self.loss += loss.detach() * label.numel()

    def merge(self, reduce: "Reduction") -> None:
        """Add up the counts of all processes with `reduce`, a sum over processes."""
        self.confusion, self.missed, self.loss = (reduce(value) for value in self.counted().values())

    def counted(self) -> dict[str, Tensor]:
        """Return the counts of this process."""
        return {"confusion": self.confusion.clone(), "missed": self.missed.clone(), "loss": self.loss.clone()}

    def restore(self, counted: dict[str, Tensor]) -> None:
        """Go on from what `counted` returned."""
        self.confusion, self.missed, self.loss = (counted[name].clone() for name in ("confusion", "missed", "loss"))

    def _move(self, device: torch.device) -> None:
        if self.confusion.device != device:
            self.confusion, self.missed = self.confusion.to(device), self.missed.to(device)
            # Apple's devices have no 64-bit floats.
            self.loss = self.loss.to(device, torch.float32 if device.type == "mps" else torch.float64)

    def errors(self) -> dict[str, float]:
        """Return `loss` (nats per sample) and `top<x>_error` (percent) of what was counted; empty when nothing was."""
        count = int(self.confusion.sum())
        if count == 0:
            return {}
        missed = [int(number) for number in self.missed]
        return {
            "loss": float(self.loss) / count,
            **{f"top{k}_error": 100.0 * number / count for k, number in zip(self.top_k, missed, strict=True)},
        }

    def error_per_class(self) -> list[float | None]:
        """Return the top-1 error of each class in percent; `None` for a class without samples."""
        counts = self.confusion.sum(dim=1).tolist()
        right = self.confusion.diagonal().tolist()
        return [100.0 * (1 - hits / count) if count else None for hits, count in zip(right, counts, strict=True)]


class Reduction:
    """A sum over processes; the identity where there is one."""

    def __init__(self, module: TrainingModule) -> None:
        self._strategy = module.trainer.strategy

    def __call__(self, counts: Tensor) -> Tensor:
        """Return the sum of `counts` over all processes."""
        total = self._strategy.reduce(counts.to(self._strategy.root_device), reduce_op="sum")
        if not isinstance(total, Tensor):
            raise TypeError(f"the strategy reduced a tensor to {type(total).__name__}")
        return total


class ClassificationModule(TrainingModule):
    """Trains any network that maps `(N, C, H, W)` to logits `(N, num_classes)`.

    A network may return several logits in training mode, the main ones first: the others are auxiliary heads, whose
    loss counts `aux_weight` (GoogLeNet, Szegedy et al. 2015, section 5).

    Logged once per epoch and split (`train`, `val`, `test`): `<split>/loss` in nats, `<split>/top1_error` and
    `<split>/top5_error` in percent. The counts behind them stay readable as
    `test_counts` and so on, the last value of each as `last_errors` (Lightning rounds its own to 32 bits).

    Args:
        network: maps `(N, C, H, W)` to logits `(N, num_classes)`.
        num_classes: K.
        optimizer: makes the optimizer; needed for `fit` only.
        scheduler: makes the learning-rate schedule; `None` keeps the rate.
        seed: of the random stream of the training steps.
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016, section 7).
        top_k: the x of each top-x error; `None` means 1 and 5 where there are more than five classes, else 1.
        aux_weight: weight of each auxiliary head's loss.
        fine_tuning: what of the network is frozen, and the rate of its trunk; `None` trains all of it alike.

    Raises:
        ValueError: `label_smoothing` outside [0, 1), `aux_weight` negative, or an x of `top_k` that is not
            below the number of classes (its error could only be 0).
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_classes: int,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        seed: int = 0,
        label_smoothing: float = 0.0,
        top_k: list[int] | None = None,
        aux_weight: float = 0.3,
        fine_tuning: FineTuning | None = None,
    ) -> None:
        super().__init__(network, optimizer=optimizer, scheduler=scheduler, seed=seed, fine_tuning=fine_tuning)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing}: must be at least 0 and below 1")
        if aux_weight < 0:
            raise ValueError(f"aux_weight={aux_weight}: must be at least 0")
        if top_k is None:
            top_k = [1, 5] if num_classes > 5 else [1]  # noqa: PLR2004 - the top-5 error of the literature
        for k in top_k:
            if not 0 < k < num_classes:
                raise ValueError(
                    f"top_k={top_k}: the top-{k} error of {num_classes} classes says nothing; "
                    f"each must be from 1 to {num_classes - 1}"
                )
        if 1 not in top_k:
            raise ValueError(f"top_k={top_k}: must contain 1, by which the best checkpoint is chosen")
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.aux_weight = aux_weight
        self.train_counts = ErrorCounts(num_classes, top_k)
        self.val_counts = ErrorCounts(num_classes, top_k)
        self.test_counts = ErrorCounts(num_classes, top_k)
        self.last_errors: dict[str, float] = {}

    def forward(self, image: Tensor) -> Tensor:
        """Map normalised pictures `(N, C, H, W)` to logits `(N, num_classes)`."""
        logits = self.network(image)
        return logits if isinstance(logits, Tensor) else logits[0]

    def training_step(self, batch: ClassificationBatch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's hook
        """Return the loss of a batch: cross entropy in nats, auxiliary heads added."""
        answers = self.network(batch["image"])
        logits, auxiliary = (answers, ()) if isinstance(answers, Tensor) else (answers[0], answers[1:])
        loss = self._cross_entropy(logits, batch["label"])
        self.train_counts.update(logits.detach(), batch["label"], loss)
        for scores in auxiliary:
            loss = loss + self.aux_weight * self._cross_entropy(scores, batch["label"])
        return loss

    def validation_step(self, batch: ClassificationBatch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's hook
        """Count a batch of the validation split."""
        self._evaluate(self.val_counts, batch)

    def test_step(self, batch: ClassificationBatch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's hook
        """Count a batch of the test split."""
        self._evaluate(self.test_counts, batch)

    def on_train_batch_start(self, batch: ClassificationBatch, batch_idx: int) -> None:
        """Begin the epoch's counts with its first batch; set the step's random stream."""
        if batch_idx == 0:
            self.train_counts.reset()
        super().on_train_batch_start(batch, batch_idx)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the counts of the epoch so far, of all processes, for one that is resumed in its middle; the errors."""
        checkpoint["last_errors"] = dict(self.last_errors)
        counted = self.train_counts.counted()
        checkpoint["train_counts"] = {name: Reduction(self)(value) for name, value in counted.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the counts of the epoch so far, in one process, and the errors."""
        self.last_errors = dict(checkpoint.get("last_errors", {}))
        counted = checkpoint.get("train_counts")
        if counted and self.trainer.is_global_zero:
            self.train_counts.restore(counted)

    def on_validation_epoch_start(self) -> None:
        """Begin the split's counts."""
        super().on_validation_epoch_start()
        self.val_counts.reset()

    def on_test_epoch_start(self) -> None:
        """Begin the split's counts."""
        self.test_counts.reset()

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training errors, of the network as it was at each step."""
        self._log_errors("train", self.train_counts)

    def on_validation_epoch_end(self) -> None:
        """Log the split's errors."""
        self._log_errors("val", self.val_counts)

    def on_test_epoch_end(self) -> None:
        """Log the split's errors."""
        self._log_errors("test", self.test_counts)

    def _cross_entropy(self, logits: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(_at_least_32_bits(logits), label, label_smoothing=self.label_smoothing)

    def _evaluate(self, counts: ErrorCounts, batch: ClassificationBatch) -> None:
        logits = self(batch["image"])
        # The plain cross entropy, whatever the smoothing of the training: comparable between arms.
        counts.update(logits, batch["label"], F.cross_entropy(_at_least_32_bits(logits), batch["label"]))

    def _log_errors(self, split: str, counts: ErrorCounts) -> None:
        counts.merge(Reduction(self))
        errors = {f"{split}/{name}": value for name, value in counts.errors().items()}
        self.last_errors |= errors
        self.log_dict(errors, logger=False)
        # Lightning would pass them on after the epoch's checkpoint: a crash in between would lose them.
        for logger in self.loggers:
            logger.log_metrics(errors, step=self.trainer.global_step)


def _at_least_32_bits(logits: Tensor) -> Tensor:
    return logits if logits.dtype is torch.float64 else logits.float()
