"""Enough to run it again: commit, uncommitted changes, package versions, hardware, command line."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from experiments.runs.source_files import HOUSE
from experiments.tracking.credentials import masked

LARGEST_DIFF = 10_000_000  # bytes; a larger one is most likely data, and says so instead
CPUINFO = Path("/proc/cpuinfo")
# Of x86, then of Arm processors: two "AMD EPYC" of different models do not give the same bits.
MODEL = ("cpu family", "model", "stepping", "CPU implementer", "CPU variant", "CPU part", "CPU revision")


@dataclass(frozen=True)
class Provenance:
    """Where a run came from.

    `commit` is `None` outside a git checkout; `diff` holds what differs from it, new files included; `command` is the
    command line; `packages` maps names to versions; `threads` is torch's number of intra-operation threads.
    `processor_model` tells apart processors that bear one name, and `instructions` is the instruction set that torch
    chose: both decide how sums are rounded. They are empty in records of before they were taken down.
    """

    commit: str | None
    diff: str
    command: list[str]
    python: str
    packages: dict[str, str]
    platform: str
    processor: str
    cores: int
    threads: int
    accelerators: list[str]
    processor_model: str = ""
    instructions: str = ""

    @property
    def hardware(self) -> str:
        """What the run is computed on, in one line: processor, instruction set, threads, accelerators."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        processor = f"{self.processor} ({self.processor_model})" if self.processor_model else self.processor
        return ", ".join(filter(None, [processor, self.instructions, threads, *self.accelerators]))

    @property
    def packages_digest(self) -> str:
        """Of the versions of Python and of all packages: two runs that differ in one of them differ in it."""
        told = json.dumps([self.python, sorted(self.packages.items())])
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, object]:
        """Return the fields as plain data, without the diff, which is a file of its own."""
        return {name: value for name, value in asdict(self).items() if name != "diff"}


def collect(command: Sequence[str] = ()) -> Provenance:
    """Take down the provenance of a run that starts now, in this process."""
    commit = _git("rev-parse", "HEAD")
    return Provenance(
        commit=commit.strip() if commit else None,
        diff=_difference() if commit else "",
        command=[masked(argument) for argument in list(command) or sys.argv],
        python=platform.python_version(),
        packages=dict(_packages()),
        platform=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        accelerators=[torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        processor_model=_processor_model(),
        instructions=torch.backends.cpu.get_cpu_capability(),
    )


@functools.cache
def _packages() -> dict[str, str]:
    """Return the versions of all packages, as they were when this process first asked: it imports no others."""
    # Each look at a distribution's metadata reads its file.
    found = (distribution.metadata for distribution in importlib.metadata.distributions())
    return {told["Name"]: told["Version"] for told in found if told["Name"]}


def _difference() -> str:
    """Return the uncommitted changes as one patch; files that git does not know yet are part of it."""
    patch = _git("diff", "--binary", "HEAD") or ""
    new = (_git("ls-files", "--others", "--exclude-standard", "-z") or "").split("\0")
    for name in filter(None, new):
        if (HOUSE / name).is_file() and (HOUSE / name).stat().st_size <= LARGEST_DIFF:
            # git answers 1 where the files differ, which a new file always does
            patch += _git("diff", "--binary", "--no-index", "--", os.devnull, name, accept=(0, 1)) or ""
        else:
            patch += f"# not recorded, too large: {name}\n"
    return patch if len(patch) <= LARGEST_DIFF else f"# not recorded: {len(patch)} bytes of changes\n"


def _git(*arguments: str, accept: tuple[int, ...] = (0,)) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603 - git, with arguments of our own
            ["git", *arguments],  # noqa: S607 - the user's git, wherever it is
            cwd=HOUSE,
            capture_output=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode("utf-8", errors="replace") if answer.returncode in accept else None


def _processor() -> str:
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _processor_model() -> str:
    """Return family, model and stepping, or what a processor without them has in their place, as far as told."""
    return ", ".join(
        f"{name.lower().removeprefix('cpu ')} {value}" for name, value in _cpuinfo().items() if name in MODEL
    )


def _cpuinfo() -> dict[str, str]:
    """Return what Linux tells of the first processor; nothing elsewhere."""
    try:
        first = CPUINFO.read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    told = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in told}
