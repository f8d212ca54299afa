"""What a run is made of, recorded and now: code, data, packages, hardware, configuration; what differs comes first."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from experiments.errors import UserError
from experiments.runs.configuration import load
from experiments.runs.identity import ingredients
from experiments.runs.leaves import leaves
from experiments.runs.record import CONFIG_FILE, DATA_FILE, IDENTITY_FILE, provenance_files
from experiments.runs.source_files import HOUSE, PACKAGES

Ingredient = Literal["code", "data", "packages", "hardware", "configuration"]

# What decides numbers comes before what only stands beside it.
COMPUTING = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "numpy",
    "albumentations",
    "opencv-python-headless",
    "pillow",
    "scikit-learn",
    "torchmetrics",
    "scipy",
)
HARDWARE = ("processor", "processor_model", "instructions", "cores", "threads", "accelerators", "platform")
# Execution keys that say on what a run is computed; the others say where its files lie.
DEVICE_KEYS = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.deterministic",
)
DIGITS = 10  # of a digest, where a person reads it
NOTHING = "nothing"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was recorded; `name` is a file, package, property or key, the values are words."""

    ingredient: Ingredient
    name: str
    recorded: str
    now: str

    def __str__(self) -> str:
        return f"{self.ingredient}: {self.name} {self.recorded} → {self.now}"


@dataclass(frozen=True)
class Ingredients:
    """What one run wrote down of what it is made of.

    `code` holds digests by module; `sessions` the provenance of every process that had a part in the run, in order;
    `configuration` is the digest that its identity has for it.
    """

    cfg: DictConfig
    code: Mapping[str, str]
    data: str
    split: str
    configuration: str
    sessions: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, run_dir: Path) -> "Ingredients":
        """Read them from the run's directory.

        Raises:
            UserError: a file is missing, or not what a run writes.
        """
        identity, data = (_read(run_dir / name) for name in (IDENTITY_FILE, DATA_FILE))
        try:
            return cls(
                cfg=load(run_dir / CONFIG_FILE),
                code={str(module): str(digest) for module, digest in identity["code_files"].items()},
                data=str(data["digest"]),
                split=str(data["split_digest"]),
                configuration=str(identity["configuration"]),
                sessions=tuple(map(_read, provenance_files(run_dir))),
            )
        except (KeyError, AttributeError) as error:
            raise UserError(f"{run_dir}: {IDENTITY_FILE} or {DATA_FILE} is not what a run writes ({error})") from error


def differences(recorded: Ingredients, now: Ingredients) -> tuple[Difference, ...]:
    """Return what differs between two runs, in the order code, data, packages, hardware, configuration."""
    keys = list(changed_keys(recorded.cfg, now.cfg))
    return (
        *code_differences(recorded.code, now.code),
        *_data_differences(recorded, now, keys),
        *surroundings(recorded.sessions, now.sessions),
        *_device_differences(recorded.cfg, now.cfg),
        *_configuration_differences(recorded, now, keys),
    )


def code_differences(recorded: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    """Yield the source files that differ, or that one of the two runs did not reach."""
    for module in sorted(recorded.keys() | now.keys()):
        before, after = recorded.get(module), now.get(module)
        if before != after:
            yield Difference("code", file_of(module), _digits(before), _digits(after))


def surroundings(recorded: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    """Yield the packages, then the hardware, that differ; a run that went on elsewhere has several values for one.

    Of the hardware, what only one of the two records tells is no difference: older ones tell less.
    """
    if (values := _over(recorded, "python")) != (others := _over(now, "python")):
        yield Difference("packages", "python", values, others)
    names = {name for one in (*recorded, *now) for name in one.get("packages", {})}
    before = [one.get("packages", {}) for one in recorded]
    after = [one.get("packages", {}) for one in now]
    for name in sorted(names, key=lambda name: (_rank(name), name.lower())):
        if (values := _over(before, name)) != (others := _over(after, name)):
            yield Difference("packages", name, values, others)
    for name in HARDWARE:
        if not all(any(one.get(name, "") != "" for one in sessions) for sessions in (recorded, now)):
            continue  # one of the two is of before it was taken down
        if (values := _over(recorded, name)) != (others := _over(now, name)):
            yield Difference("hardware", name, values, others)


def changed_keys(recorded: DictConfig, now: DictConfig) -> Iterator[tuple[str, object, object]]:
    """Yield the keys, with both values, in which two configurations differ that decide a result."""
    before, after = (dict(leaves(ingredients(cfg), into_lists=True)) for cfg in (recorded, now))
    for key in [*before, *(key for key in after if key not in before)]:
        if before.get(key, _ABSENT) != after.get(key, _ABSENT):
            yield key, before.get(key, NOTHING), after.get(key, NOTHING)


def file_of(module: str, house: Path = HOUSE) -> str:
    """Return the file of a module, relative to `house`; of a user's own module, its name."""
    if module.partition(".")[0] not in PACKAGES:
        return module
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (house / path / "__init__.py").is_file() else f"{path}.py"


def _data_differences(
    recorded: Ingredients, now: Ingredients, keys: Sequence[tuple[str, object, object]]
) -> Iterator[Difference]:
    if any(key == "seed" or key.startswith("datamodule.") for key, _, _ in keys):
        return  # they follow from the configuration, which says so
    if recorded.data != now.data:
        yield Difference("data", "pictures", _digits(recorded.data), _digits(now.data))
    elif recorded.split != now.split:
        yield Difference("data", "split", _digits(recorded.split), _digits(now.split))


def _device_differences(recorded: DictConfig, now: DictConfig) -> Iterator[Difference]:
    for key in DEVICE_KEYS:
        before, after = (OmegaConf.select(cfg, key, default=NOTHING) for cfg in (recorded, now))
        if before != after:
            yield Difference("hardware", key, _word(before), _word(after))


def _configuration_differences(
    recorded: Ingredients, now: Ingredients, keys: Sequence[tuple[str, object, object]]
) -> Iterator[Difference]:
    for key, before, after in keys:
        yield Difference("configuration", key, _word(before), _word(after))
    if not keys and recorded.configuration != now.configuration and recorded.code == now.code:
        before, after = _digits(recorded.configuration), _digits(now.configuration)
        if OmegaConf.select(recorded.cfg, "model.weights") is not None:
            yield Difference("configuration", "the content of model.weights, with which it begins,", before, after)
        elif not any(_device_differences(recorded.cfg, now.cfg)):
            yield Difference("configuration", "digest", before, after)


def _rank(package: str) -> int:
    name = package.lower().replace("_", "-")
    return COMPUTING.index(name) if name in COMPUTING else len(COMPUTING)


def _over(sessions: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the value that a run's sessions have for a property; its values, in order, where it changed."""
    values: list[str] = []
    for session in sessions:
        value = _word(session.get(name, NOTHING))
        if value not in values:
            values.append(value)
    return ", then ".join(values)


def _word(value: object) -> str:
    if isinstance(value, (list, tuple)) and not value:
        return "none"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _digits(digest: str | None) -> str:
    return NOTHING if digest is None else digest[:DIGITS]


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: missing or not what a run writes ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: must hold a mapping, not {type(content).__name__}")
    return content


_ABSENT = object()
