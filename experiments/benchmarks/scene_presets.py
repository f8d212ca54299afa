"""Which options of `datamodule` draw scenes of one class each: those for other tasks have no label to be guessed."""

from datamodules.scenes.datamodule import ScenesDataModule
from experiments.runs.configuration import compose, options_of


def labelled_presets() -> list[str]:
    """Return their names, sorted."""
    target = f"{ScenesDataModule.__module__}.{ScenesDataModule.__qualname__}"
    drawn = sorted(name for name in options_of("datamodule") if name.startswith("scenes"))
    return [name for name in drawn if compose([f"datamodule={name}"]).datamodule["_target_"] == target]
