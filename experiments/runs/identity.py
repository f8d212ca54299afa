"""What makes two runs the same run: configuration, code, data and seed."""

import ast
import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiments.runs.options import EXECUTION_KEYS

HOUSE = Path(__file__).resolve().parents[2]
PACKAGES = ("datamodules", "experiments", "lightning_modules")
# How a configuration becomes a trained network: part of every run's code. What only records or draws is not.
RUN_MODULES = ("experiments.runs.build", "experiments.runs.training")
RECORDING = ("experiments.tracking", "experiments.measures")


@dataclass(frozen=True)
class Identity:
    """The digests that make up a run's identity; hexadecimal.

    `configuration` leaves out the execution keys; `code` covers the source files that the configuration reaches;
    `data` is the datamodule's digest of the data set's content.
    """

    configuration: str
    code: str
    data: str

    @property
    def digest(self) -> str:
        """The identity itself: the hash of its ingredients."""
        return _digest([self.configuration, self.code, self.data])


def identify(cfg: DictConfig, data_digest: str, *, shares: int = 1) -> Identity:
    """Return the identity of the run that `cfg` describes on data with that digest.

    `shares` is the number of processes where it decides the result (`processes.shares`), else 1.
    """
    return Identity(_digest(_configuration(cfg, shares)), _code_digest(cfg), data_digest)


def identities(
    cfg: DictConfig, seeds: Iterable[int], data_digest: str, *, keys: Sequence[str] = ("seed",), shares: int = 1
) -> dict[int, Identity]:
    """Return the identity under each seed of a configuration that holds its seed at `keys` and nowhere else.

    Code and configuration are looked at once, so that thousands of seeds take hardly longer than one.
    """
    configuration, code = _configuration(cfg, shares), _code_digest(cfg)
    nodes: list[tuple[dict[str, object], str]] = []
    for key in keys:
        *parents, last = key.split(".")
        node: Any = configuration
        for parent in parents:
            node = node[parent]
        nodes.append((node, last))
    found = {}
    for seed in seeds:
        for node, last in nodes:
            node[last] = seed
        found[seed] = Identity(_digest(configuration), code, data_digest)
    return found


def _configuration(cfg: DictConfig, shares: int) -> dict[str, object]:
    return {**ingredients(cfg), **({"shares": shares} if shares > 1 else {})}


def ingredients(cfg: DictConfig) -> dict[str, object]:
    """Return the configuration without the execution keys: what decides the result."""
    content = OmegaConf.to_container(cfg, resolve=True)
    if not isinstance(content, dict):
        raise TypeError("a run's configuration is a mapping")
    model = content.get("model")
    for key in ("weights", "key_map"):
        # Where a file lies says nothing of what is in it.
        if isinstance(model, dict) and isinstance(name := model.get(key), str) and Path(name).is_file():
            model[key] = _file_digest(Path(name))
    for key in EXECUTION_KEYS:
        *parents, last = key.split(".")
        node: object = content
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)
    return {str(key): value for key, value in content.items()}


def _code_digest(cfg: DictConfig) -> str:
    return _digest({name: _file_digest(path) for name, path in code_files(cfg).items()})


def code_files(cfg: DictConfig) -> dict[str, Path]:
    """Return the source files, by module name, that the targets of `cfg` and the run itself reach by imports.

    Of installed packages only their versions count, and these are provenance; of the house, and of a user's own
    modules, the files.
    """
    found: dict[str, Path] = {}
    waiting = [*RUN_MODULES, *(target.rpartition(".")[0] for target in _targets(OmegaConf.to_container(cfg)))]
    while waiting:
        module = waiting.pop()
        path = _source(module)
        if path is None or module in found or module.startswith(RECORDING):
            continue
        found[module] = path
        waiting.extend(_imports(path))
    return dict(sorted(found.items()))


def _targets(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(target := node.get("_target_"), str):
            yield target
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def _source(module: str) -> Path | None:
    """Return the file of a module that is ours or the user's; `None` for what is installed or does not exist."""
    if module.split(".", maxsplit=1)[0] in PACKAGES:
        base = HOUSE.joinpath(*module.split("."))
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
    root = _users_package(module.split(".", maxsplit=1)[0])
    if root is None:
        return None
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@functools.lru_cache(maxsize=1024)
def _users_package(name: str) -> Path | None:
    """Return the folder that holds a user's own package or module; `None` for Python's own and installed ones."""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    if {"site-packages", "dist-packages"} & set(path.parts):
        return None
    return path.parents[1] if path.name == "__init__.py" else path.parent


def _imports(path: Path) -> tuple[str, ...]:
    return _imports_of(path, *_version(path))


# Every run of a study asks for the same files. A file that has changed in the meantime is another version.
@functools.lru_cache(maxsize=4096)
def _imports_of(path: Path, *_: int) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _file_digest(path: Path) -> str:
    return _digest_of(path, *_version(path))


@functools.lru_cache(maxsize=4096)
def _digest_of(path: Path, *_: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _version(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written again: its number, its time in nanoseconds, its size in bytes."""
    state = path.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def code_digests(files: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """Return the digest of each source file, by module name."""
    return {name: _file_digest(path) for name, path in files}
