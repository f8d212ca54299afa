"""The source files that a run's result depends on: what its configuration names and what that imports, on and on.

Of installed packages only their versions count, and these are provenance; of the house, and of a user's own modules,
the files. A package's `__init__.py` runs before anything in the package does: it counts with every module below it.

What only watches a run does not count (`WATCHING`): to draw a bar in another way makes no run another run.
"""

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

HOUSE = Path(__file__).resolve().parents[2]
PACKAGES = ("datamodules", "experiments", "lightning_modules")
# How a configuration becomes a trained network: part of every run's code.
RUN_MODULES = ("experiments.runs.build", "experiments.runs.training")
# What a run reaches and its result does not depend on. A module may stand here only where all of this holds:
#  - it shows, records or draws what others computed, or refuses it in words, and changes nothing but what is its own;
#  - no network, LightningModule, schedule or data set reaches it;
#  - what it makes of a configuration, if anything, is in the configuration's own digest.
WATCHING = frozenset(
    {
        "experiments.measures",  # numbers of a network that nobody trains by
        "experiments.tracking",
        "experiments.runs.architecture_hints",
        "experiments.runs.configuration",
        "experiments.runs.gradient_flow",
        "experiments.runs.heartbeat",
        "experiments.runs.inspection",
        "experiments.runs.layer_probes",
        "experiments.runs.place",
        "experiments.runs.progress",
        "experiments.runs.ranges",
    }
)

# What a run looks at by one of these keys is judged by studies: where it is on, the code of the look is part of the
# run's. Not latency, which is another each time.
LOOKS = {
    "gradient_flow_every": "experiments.runs.gradient_flow",
    "linearity_images": "experiments.measures.linearity",
    "probe_every": "experiments.runs.layer_probes",
}

_Version = tuple[int, int, int]


def code_files(cfg: DictConfig) -> dict[str, Path]:
    """Return the source files, by module name, that the targets of `cfg` and the run itself reach by imports."""
    # Which layers are the first ones is measured: there, the measures decide.
    words = (OmegaConf.select(cfg, f"model.{key}", default=None) for key in ("copy", "freeze"))
    measured = any(isinstance(word, str) and word.startswith("first:") for word in words)
    without = WATCHING - {"experiments.measures"} if measured else WATCHING
    found = reached((*RUN_MODULES, *_targets(OmegaConf.to_container(cfg))), without=without)
    looks = {module for key, module in LOOKS.items() if OmegaConf.select(cfg, key, default=0)}
    return dict(sorted((found | reached(looks, without=WATCHING - looks - {"experiments.measures"})).items()))


def reached(names: Iterable[str], *, without: frozenset[str] = frozenset()) -> dict[str, Path]:
    """Return the source files, by module name, that run when `names` are imported.

    Args:
        names: of modules, or of what is in them.
        without: modules and packages that are left out, with what they alone import.
    """
    found: dict[str, Path] = {}
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if _is_below(name, without) or (path := _source(name)) is None:
            # Of a function or class, the module that holds it is still to be found.
            waiting += [] if _is_below(name, without) else _above(name)
            continue
        found[name] = path
        waiting += [*_above(name), *_imports(name, path)]
    return dict(sorted(found.items()))


def code_digests(files: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """Return the digest of each source file, by module name."""
    return {name: file_digest(path) for name, path in files}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal; read once for each version of the file."""
    return _digest_of(path, *_version(path))


def _targets(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(target := node.get("_target_"), str):
            yield target
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def _above(name: str) -> list[str]:
    parent = name.rpartition(".")[0]
    return [parent] if parent else []


def _is_below(name: str, packages: frozenset[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in packages for length in range(1, len(parts) + 1))


def _source(module: str) -> Path | None:
    """Return the file of a module that is ours or the user's; `None` for what is installed or does not exist."""
    first, *parts = module.split(".")
    root = HOUSE if first in PACKAGES else _users_folder(first)
    if root is None:
        return None
    base = root.joinpath(first, *parts)
    # As Python itself chooses: a package comes before a module of the same name.
    return next((path for path in (base / "__init__.py", base.with_name(f"{base.name}.py")) if path.is_file()), None)


@functools.lru_cache(maxsize=1024)
def _users_folder(name: str) -> Path | None:
    """Return the folder that holds a user's own package or module; `None` for Python's own and installed ones."""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    # A folder without `__init__.py` is a package too; it has places in the stead of an origin.
    places = list(spec.submodule_search_locations or [])
    place = Path(places[0]) if places else Path(spec.origin or "")
    is_source = bool(places) or place.suffix == ".py"
    if not is_source or {"site-packages", "dist-packages"} & set(place.parts):
        return None
    return place.parent


def _imports(module: str, path: Path) -> tuple[str, ...]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return _imports_of(package, path, *_version(path))


# Every run of a study asks for the same files. A file that has changed in the meantime is another version.
@functools.lru_cache(maxsize=4096)
def _imports_of(package: str, path: Path, *_: int) -> tuple[str, ...]:
    """Return what a file imports, also inside functions; a relative import as seen from `package`."""
    found: list[str] = []
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return ()  # the import that reaches it fails, if ever it is executed
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # Each name may be a module of its own.
            found += [source, *(f"{source}.{alias.name}" for alias in node.names)]
    return tuple(name for name in found if name)


@functools.lru_cache(maxsize=4096)
def _digest_of(path: Path, *_: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _version(path: Path) -> _Version:
    """Return what changes when a file is written again: its number, its time in nanoseconds, its size in bytes."""
    state = path.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size
