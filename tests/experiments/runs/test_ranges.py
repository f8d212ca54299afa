"""Values out of range: one line that names the key, the value and what is allowed, before anything is built."""

import pytest

from experiments.errors import UserError
from experiments.runs.configuration import compose
from experiments.runs.validation import validate


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.lr=nan",
        "optimizer.momentum=nan",
        "optimizer.momentum=-0.1",
        "optimizer.momentum=1",
        "optimizer.weight_decay=nan",
        "optimizer.weight_decay=-1",
        "optimizer.weight_decay=inf",
        "trainer.max_epochs=0",
        "trainer.max_steps=0",
        "trainer.accumulate_grad_batches=0",
        "trainer.check_val_every_n_epoch=0",
        "trainer.check_val_every_n_epoch=11",
        "trainer.limit_train_batches=0",
        "trainer.limit_val_batches=0",
        "trainer.limit_val_batches=0.0",
        "trainer.limit_test_batches=0",
        "trainer.limit_test_batches=1.5",
        "trainer.gradient_clip_val=-1",
        "trainer.gradient_clip_val=nan",
        "trainer.accelerator=tpu",
        "trainer.devices=two",
        "trainer.devices=-1",
        "trainer.devices=[0,1]",
        "checkpoint_minutes=inf",
        "model.key_map=auto",
        "model.weights=3",
        "model.key_map=[1]",
        "model.copy=trunk",
        "model.weights_digest=abc",
        "model.freeze=head",
        "model.freeze=all",
        "model.freeze=first:0",
        "model.freeze=first:two",
        "model.freeze=[1]",
        "model.frozen_batch_norm=learn",
        "model.trunk_lr_factor=0",
        "model.trunk_lr_factor=inf",
        "model.weights=run:",
        "model.weights=models:/name",
    ],
)
def test_out_of_range(override: str) -> None:
    with pytest.raises(UserError) as caught:
        validate(compose([override]))
    key, _, value = override.partition("=")
    told = str(caught.value)
    assert told.startswith(f"{key}=")
    assert told.partition("=")[2].replace(" ", "").strip("'").startswith(value.removesuffix(".0")), told
    assert "must be" in told or "goes with" in told or "should be" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer=adamw", "optimizer.betas=[0.9,1]"], "optimizer.betas=[0.9, 1]: must be two numbers"),
        (["optimizer=adamw", "optimizer.betas=[nan,0.9]"], "optimizer.betas=[nan, 0.9]: must be two numbers"),
        (
            ["optimizer.nesterov=true", "optimizer.momentum=0"],
            "optimizer.nesterov=true: needs optimizer.momentum above",
        ),
        (["trainer.max_epochs=-1"], "trainer.max_epochs=-1: must be at least 1 (or set trainer.max_steps)"),
    ],
)
def test_together_they_cannot_be(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        validate(compose(overrides))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer=debug"],
        ["trainer=ddp"],
        ["optimizer.nesterov=true"],
        ["trainer.max_epochs=-1", "trainer.max_steps=5"],
        ["trainer.gradient_clip_val=0.5", "optimizer.momentum=0", "optimizer.lr=0"],
        ["trainer.limit_val_batches=1.0", "trainer.limit_train_batches=0.5", "trainer.devices=auto"],
        ["model.weights=a.pt", "model.key_map=auto"],
    ],
)
def test_what_is_allowed(overrides: list[str]) -> None:
    validate(compose(overrides))
