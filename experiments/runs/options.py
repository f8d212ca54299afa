"""The keys at the root of a run's configuration, with their types and ranges."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _none_or_several(count: int) -> int:
    if count < 0 or count == 1:
        raise ValueError("must be 0, or from 2 on: one picture has nothing to differ from")
    return count


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
    # Runs that were recorded before there were these keys are without them.
    latency_batch: int = Field(default=0, ge=0, le=65536)
    linearity_images: Annotated[int, AfterValidator(_none_or_several)] = Field(default=0, le=64)
    gradient_flow_every: int = Field(ge=0)
    probe_every: int = Field(default=0, ge=0)
    probe_images: int = Field(default=512, ge=64, le=65536)
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
