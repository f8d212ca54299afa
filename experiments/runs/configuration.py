"""Composing a run's configuration with Hydra, and saying in one line what is wrong with it."""

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.errors import UserError
from experiments.runs.composition import compose_quickly, resolved, with_choices
from experiments.runs.options import COMPONENTS
from experiments.runs.overrides import is_override, override_key, read_override

CONFIG_DIR = Path(__file__).resolve().parents[2] / "conf"
ROOT = "train"


def compose(overrides: Sequence[str]) -> DictConfig:
    """Compose `conf/train.yaml` with `overrides`; the options chosen for each group stand under `choices`.

    Raises:
        UserError: an unknown key or option, or an override that cannot be read.
    """
    # What is wrong is told by Hydra's own way alone.
    with contextlib.suppress(HydraException, OmegaConfBaseException, ValueError):
        if (quick := compose_quickly(CONFIG_DIR, ROOT, overrides)) is not None:
            return resolved(quick)
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIG_DIR)):
            cfg = hydra_compose(ROOT, list(overrides), return_hydra_config=True)
            return without_hydra(cfg, cfg.hydra.runtime.choices)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(explain(error, overrides)) from error


def without_hydra(cfg: DictConfig, choices: Mapping[str, Any]) -> DictConfig:
    """Return the run's own keys, resolved, with the options `choices` that were chosen for them."""
    return resolved(with_choices(cfg, choices))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain data."""
    content = OmegaConf.to_container(cfg, resolve=True)
    if not isinstance(content, dict):
        raise TypeError("a run's configuration is a mapping")
    return {str(key): value for key, value in content.items()}


def load(file: Path) -> DictConfig:
    """Read a recorded configuration; an interpolation in it is text, never evaluated.

    Raises:
        UserError: the file is missing or no mapping.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file; a recorded run has one") from error
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not readable as YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: must hold a mapping, not {type(content).__name__}")
    if "${" in file.read_text(encoding="utf-8"):
        raise UserError(f"{file}: holds an interpolation (${{…}}); a recorded configuration is resolved")
    return OmegaConf.create(content)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `did you mean 'x'? allowed: …` for a misspelt `word`."""
    names = sorted(map(str, allowed))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    guess = f"did you mean '{close[0]}'? " if close else ""
    return f"{guess}allowed: {', '.join(names)}"


def explain(error: Exception, overrides: Sequence[str]) -> str:
    """Say in one line what Hydra or OmegaConf found wrong with `overrides`."""
    text = str(error)
    if isinstance(error, ConfigCompositionException) and error.__cause__ is not None and "\n" not in text:
        text += f"\n{error.__cause__}"
    first = " ".join(text.splitlines()[:1])
    for pattern, reason in _REASONS:
        if found := re.search(pattern, text, re.DOTALL):
            return reason(found, error, overrides)
    unreadable = filter(None, map(_unreadable, overrides))
    return next(unreadable, first)


def _unreadable(override: str) -> str | None:
    try:
        OverridesParser.create().parse_override(override)
    except (HydraException, OmegaConfBaseException):
        if override.startswith("-"):
            return f"{override}: unknown flag; --help lists them, and settings are written key=value"
        if not is_override(override):
            return f"{override}: not of the form key=value"
        given = read_override(override)
        group, option = (given.key, given.value or "") if given else ("", "")
        # Hydra's grammar has letters of ASCII alone; to a reader these are no special characters.
        if group in COMPONENTS and option.isidentifier():
            return _unknown_option(f"{group}/{option}")
        return f"{override}: cannot be read; write key=value, and quote special characters as key=\"'a,b'\""
    return None


def options_of(group: str) -> list[str]:
    """Return the options that `conf/` has for a group."""
    return sorted(file.stem for file in (CONFIG_DIR / group).glob("*.yaml"))


def _unknown_option(path: str) -> str:
    group, _, option = path.rpartition("/")
    if not (CONFIG_DIR / group).is_dir():
        return _unknown_key(group)
    return f"{group}={option}: no such option; {nearest(option, options_of(group))}"


def _unknown_key(key: str, overrides: Sequence[str] = ()) -> str:
    """Name the siblings of a key that does not exist, as the configuration with the chosen options has them."""
    parent, _, last = key.rpartition(".")
    node: Any = _with_choices(overrides)
    for part in filter(None, parent.split(".")):
        node = node.get(part) if isinstance(node, DictConfig) else None
    siblings = [str(name) for name in node if name not in ("_target_", "_partial_", "choices")] if node else []
    if not siblings:
        return f"{key}: unknown key" + (f"; '{parent}' has no keys of its own" if parent else "")
    prefix = f"{parent}." if parent else ""
    return f"{key}: unknown key; {nearest(prefix + last, [prefix + name for name in siblings])}"


def _with_choices(overrides: Sequence[str]) -> DictConfig:
    """Return the configuration with the options that `overrides` choose, those that cannot be left out."""
    for chosen in ([item for item in overrides if override_key(item) in COMPONENTS], []):
        # Not by `compose`, which would come back here to explain what is wrong with a choice.
        with (
            contextlib.suppress(HydraException, OmegaConfBaseException, ValueError),
            initialize_config_dir(version_base="1.3", config_dir=str(CONFIG_DIR)),
        ):
            return hydra_compose(ROOT, chosen)
    return OmegaConf.create()


def _misplaced_key(found: re.Match[str], error: Exception, overrides: Sequence[str]) -> str:
    inner = re.search(r"full_key: (\S+)", str(error.__cause__ or ""))
    return _unknown_key(inner[1] if inner else found[1], overrides)


def _second_choice(_: re.Match[str], error: Exception, overrides: Sequence[str]) -> str:
    culprit = next((item for item in overrides if item.startswith("+")), str(error).splitlines()[0])
    return f"{culprit}: that group has a choice already; change it without '+'"


def _group_override(overrides: Sequence[str]) -> str:
    groups = [item for item in overrides if (CONFIG_DIR / override_key(item)).is_dir()]
    return groups[0] if groups else "override"


def _dangling(found: re.Match[str], error: Exception, _: Sequence[str]) -> str:
    where = re.search(r"full_key: (\S+)", str(error))
    return f"{where[1] if where else 'configuration'}: refers to '{found[1]}', which does not exist"


# How Hydra and OmegaConf word what can be wrong, and what we say of it.
_REASONS: tuple[tuple[str, Callable[[re.Match[str], Exception, Sequence[str]], str]], ...] = (
    (r"Could not find '([^']+)'", lambda found, _, __: _unknown_option(found[1])),
    (r"Could not override '([^']+)'", _misplaced_key),
    (
        r"Ambiguous value for argument '([^']+)'",
        lambda found, _, __: f"{found[1]}: several values; add -m to sweep over them, or write a list as [a,b]",
    ),
    (r"appears more than once|Multiple values for", _second_choice),
    (
        r"An item is already at '([^']+)'",
        lambda found, _, __: f"{found[1]}: has a value already; change it without '+'",
    ),
    (
        r"Could not delete from config\. '([^']+)' does not exist",
        lambda found, _, overrides: _unknown_key(found[1], overrides),
    ),
    (
        r"Could not delete from config\. The value of '([^']+)' is (.+) and not (.+)\.",
        lambda found, _, __: f"~{found[1]}={found[3]}: its value is {found[2]}; ~{found[1]} takes it away in any case",
    ),
    (
        r"Could not delete '([^']+)'\. No match in the defaults list",
        lambda found, _, __: f"~{found[1]}: that option is not chosen, hence cannot be taken away",
    ),
    (
        r"force-add of config groups is not supported: '\+\+([^']+)'",
        lambda found, _, __: f"++{found[1]}: an option is chosen without '++'; write {found[1]}",
    ),
    (
        r"Config group override must be",
        lambda _, __, overrides: f"{_group_override(overrides)}: must name one of the options of that group",
    ),
    (
        r"does not support sweep type : INTERVAL",
        lambda _, __, overrides: (
            f"{next((item for item in overrides if 'interval(' in item), 'interval')}: only a search takes an interval;"
            " add hydra/sweeper=optuna, or list values"
        ),
    ),
    (
        r"Error merging override ([^\n]+)\n([^\n]+)",
        lambda found, _, __: f"{found[1]}: {found[2][0].lower()}{found[2][1:]}",
    ),
    (r"Interpolation key '([^']+)' not found", _dangling),
)
