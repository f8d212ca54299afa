"""The keys at the root of a run's configuration, with their types and ranges."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RunOptions(BaseModel):
    """What a run is asked, besides what it is built of.

    Raises:
        pydantic.ValidationError: an unknown key, a wrong type or a value out of range.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    seed: int = Field(ge=0, lt=2**32)
    experiment: str = Field(min_length=1)
    resume: Literal["auto", "never"]
    rerun: bool
    runs_dir: str = Field(min_length=1)
    data_dir: str = Field(min_length=1)
    ema_decay: float | None = Field(ge=0, lt=1)
    effective_field_images: int = Field(ge=0, le=4096)
    gradient_flow_every: int = Field(ge=0)
    initial_errors: bool = False
    checkpoint_minutes: float = Field(gt=0, allow_inf_nan=False)


# What a run is built of: one group folder of conf/ each.
COMPONENTS = ("model", "datamodule", "augmentation", "optimizer", "scheduler", "trainer", "tracking")

# Keys that say how and where a run is executed, not what it computes: they are no part of its identity. Devices differ
# in how they round, deterministic or not. The number of processes counts where batch norm makes it count
# (`processes.shares`).
EXECUTION_KEYS = frozenset(
    {
        "choices",
        "experiment",
        "resume",
        "rerun",
        "runs_dir",
        "data_dir",
        "checkpoint_minutes",
        "tracking",
        "datamodule.root",
        "datamodule.download",
        "datamodule.num_workers",
        "trainer.accelerator",
        "trainer.devices",
        "trainer.num_nodes",
        "trainer.strategy",
        "trainer.deterministic",
        "trainer.detect_anomaly",
    }
)

# Of a recorded run, opened again: where its data lie and how it is computed, never what it is tested on.
REOPENED_KEYS = frozenset(
    {
        "data_dir",
        "datamodule.root",
        "datamodule.download",
        "datamodule.num_workers",
        "datamodule.batch_size",
        "trainer.accelerator",
        "trainer.devices",
        "trainer.num_nodes",
        "trainer.strategy",
        "trainer.detect_anomaly",
    }
)
