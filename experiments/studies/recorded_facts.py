"""What is recorded of how a run came about, in parts that runs share: thousands of them hold a few different ones.

Equal parts are one object, so that runs are compared without looking into them.
"""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf

from experiments.runs.record import CONFIG_FILE, DATA_FILE, IDENTITY_FILE, provenance_files

RECORDED = ("python", "processor", "processor_model", "instructions", "threads", "accelerators")
DATA, SPLIT = "digest of the data", "digest of the split"
DIGITS = 10  # of a digest
# Of a recorded configuration, what may have been other than it would be now, or decides what a step is.
EXECUTED = (
    "trainer.num_nodes",
    "trainer.accelerator",
    "trainer.precision",
    "trainer.deterministic",
    "datamodule.batch_size",
    "trainer.accumulate_grad_batches",
)
# Which keys a fact follows from: an arm that sets one of them has declared the fact.
CAUSES: Mapping[str, tuple[str, ...]] = {
    DATA: ("datamodule._target_", "datamodule.root", "data_dir"),
    SPLIT: (
        "datamodule._target_",
        "datamodule.root",
        "data_dir",
        "datamodule.few_samples",
        "datamodule.val_fraction",
        "datamodule.seed",
    ),
}

Part = Mapping[str, str]
_SEED = re.compile(rb"^\s*seed: \d+\n", re.MULTILINE)
_ENVIRONMENT = b'"python":'


def facts(run_dir: Path) -> tuple[Part, ...]:
    """Return the facts of a run: configuration as it was executed, surroundings, source files, data.

    The data's digest covers the content of the data set, whatever a run takes of it, and is the same under every seed;
    what a seed takes of it (`few_samples`, the validation samples, the order) is covered by the digest of the split.

    Returns:
        One part for each of them, in this order; nothing where one of them cannot be read.
    """
    try:
        config, identity, data = ((run_dir / name).read_bytes() for name in (CONFIG_FILE, IDENTITY_FILE, DATA_FILE))
        sessions = tuple(_environment(file.read_bytes()) for file in provenance_files(run_dir))
        recorded = json.loads(identity)
        return (
            _executed(_SEED.sub(b"", config)),
            _surroundings(sessions),
            _sources(json.dumps(recorded["code_files"])),
            _data(str(recorded["data"]), str(json.loads(data)["split_digest"])),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return ()


@functools.lru_cache(maxsize=16384)
def _executed(text: bytes) -> Part:
    cfg = OmegaConf.create(text.decode())
    if not isinstance(cfg, DictConfig):
        raise ValueError("a configuration is a mapping")  # noqa: TRY004 - of a file, as all that is wrong in it
    found = {key: str(OmegaConf.select(cfg, key)) for key in EXECUTED}
    # Which of its devices a run got is chance; how many is not.
    devices = OmegaConf.select(cfg, "trainer.devices")
    return found | {"trainer.devices": str(len(devices)) if isinstance(devices, ListConfig) else str(devices)}


def _environment(provenance: bytes) -> bytes:
    # The runs of an arm differ in their seed alone; what comes before the environment is the command line.
    start = provenance.find(_ENVIRONMENT)
    return b"{" + provenance[start:] if start > 0 else provenance


@functools.lru_cache(maxsize=1024)
def _surroundings(sessions: tuple[bytes, ...]) -> Part:
    """Return what surrounded a run; of one that went on elsewhere, the values of its sessions in their order."""
    values: dict[str, list[str]] = {}
    for provenance in map(json.loads, sessions):
        found = {name: value for name in RECORDED if (value := provenance.get(name)) not in (None, "")}
        found |= {f"version of {name}": version for name, version in provenance.get("packages", {}).items()}
        for name, value in found.items():
            values.setdefault(name, []).append(str(value))
    return {name: ", then ".join(dict.fromkeys(said)) for name, said in values.items()}


@functools.lru_cache(maxsize=16384)
def _sources(text: str) -> Part:
    return {f"source of {name}": str(digest)[:DIGITS] for name, digest in json.loads(text).items()}


@functools.lru_cache(maxsize=65536)
def _data(content: str, split: str) -> Part:
    return {DATA: content[:DIGITS], SPLIT: split[:DIGITS]}
