"""The command line of `whydeep train`: Hydra's flags, overrides, and the help on both."""

import re
import textwrap
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.arguments import refuse_doubles
from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, ROOT, nearest, options_of
from experiments.runs.options import COMPONENTS

_SHORT = {"-m": "--multirun", "-h": "--help", "-c": "--cfg", "-p": "--package", "-sc": "--shell-completion"}
# Hydra's flags that ask about the configuration instead of running it, with the values that they take.
ASKING: dict[str, tuple[str, ...] | None] = {
    "--help": None,
    "--cfg": ("job", "hydra", "all"),
    "--hydra-help": None,
    "--shell-completion": None,
    "--version": None,
}
_OTHERS: dict[str, tuple[str, ...] | None] = {"--multirun": None, "--resolve": None, "--package": ()}


def read(argv: Sequence[str]) -> tuple[dict[str, str | None], list[str]]:
    """Return Hydra's flags with their values, and the overrides.

    Raises:
        UserError: an unknown flag, a value that a flag does not take, an override given twice.
    """
    known = ASKING | _OTHERS
    flags: dict[str, str | None] = {}
    overrides = []
    waiting = list(argv)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        name, assigned, value = argument.partition("=")
        flag = _SHORT.get(name, name)
        if flag not in known:
            raise UserError(f"{argument}: unknown flag; allowed: -m, --help, --cfg job, and settings as key=value")
        values = known[flag]
        flags[flag] = None
        if values is not None:
            given = value if assigned else (waiting.pop(0) if waiting else "")
            if not given or (values and given not in values):
                raise UserError(f"{flag} {given}: {nearest(given, values) if values else 'needs a key'}")
            flags[flag] = given
    for flag in ("--resolve", "--package"):
        if flag in flags and "--cfg" not in flags:
            raise UserError(f"{flag}: goes with --cfg job")
    if "--shell-completion" not in flags:
        refuse_doubles(overrides)
    return flags, overrides


def help_text(summary: str) -> str:
    """Return what the verb does, the options of each group, and the keys of `conf/train.yaml` with their comments."""
    groups = [
        textwrap.fill(", ".join(options_of(group)), 100, initial_indent=f"  {group}=", subsequent_indent="      ")
        for group in COMPONENTS
    ]
    root = (CONFIG_DIR / f"{ROOT}.yaml").read_text(encoding="utf-8")
    keys = [
        f"  {f'{key}={value}':<22} {comment}" for key, value, comment in re.findall(r"(?m)^(\w+): (.*?) +# (.*)$", root)
    ]
    own = [
        "any key of an option, such as trainer.max_epochs=2 (--cfg job shows them all), and these with defaults:",
        *keys,
    ]
    return "\n".join([summary.strip(), "", "one option of each group:", *groups, "", *own])


def with_late_choices(argv: Sequence[str], overrides: Sequence[str], *, sweep: bool) -> list[str]:
    """Rewrite `model.network.widths=[8]` as a choice of one where `model` itself is swept over.

    Hydra composes a sweep once without its choices, in which such a key does not exist.
    """
    if not sweep:
        return list(argv)
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = {
        item.key_or_group for item in parsed if item.is_sweep_override() and (CONFIG_DIR / item.key_or_group).is_dir()
    }
    late = {
        str(item.input_line): f"{item.key_or_group}=choice({str(item.input_line).partition('=')[2]})"
        for item in parsed
        if item.key_or_group.partition(".")[0] in swept and "." in item.key_or_group and not item.is_sweep_override()
    }
    return [late.get(argument, argument) for argument in argv]
