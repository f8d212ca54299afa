"""The command `whydeep VERB …`: finds the verb and turns what goes wrong into one line and an exit code."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

VERBS = ("study", "chapter", "report", "reproduce", "train", "evaluate", "predict", "describe", "ui", "sync")
USER_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run `whydeep` with `argv` (the process's own by default); return the exit code.

    0: done. 1: something failed. 2: a mistake in what was asked. 130, 143: stopped by Ctrl-C or SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else USER_ERROR
    verb, *rest = arguments
    if verb not in VERBS:
        from difflib import get_close_matches  # noqa: PLC0415 - start-up time

        close = get_close_matches(verb, VERBS, n=1)
        guess = f"did you mean '{close[0]}'? " if close else ""
        return complain(f"{verb}: unknown verb; {guess}allowed: {', '.join(VERBS)}")
    return run(verb, rest)


def run(verb: str, argv: Sequence[str]) -> int:
    """Run one verb; a user's mistake is one line on the standard error, without a traceback."""
    from experiments.errors import UserError  # noqa: PLC0415 - start-up time
    from experiments.runs.chatter import quiet  # noqa: PLC0415

    quiet()
    try:
        module = importlib.import_module(f"experiments.{verb}")
        code: int = module.main(list(argv))
    except UserError as error:
        return complain(error)
    except KeyboardInterrupt:
        print("whydeep: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has seen enough; Python must not complain about it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    else:
        return code


def complain(mistake: object) -> int:
    """Say what is wrong in one line on the standard error; return the exit code for it."""
    from experiments.tracking.credentials import masked  # noqa: PLC0415 - start-up time

    print(f"whydeep: error: {masked(' '.join(str(mistake).split()))}", file=sys.stderr)
    return USER_ERROR


def _help() -> str:
    """List the verbs with the first line of each module, read as text: importing them would take seconds."""
    lines = ["usage: whydeep VERB [key=value …]", "", "whydeep answers 'why deep?' with experiments.", "", "verbs:"]
    for verb in VERBS:
        with Path(__file__).with_name(f"{verb}.py").open(encoding="utf-8") as file:
            summary = file.readline().strip().strip('"')
        lines.append(f"  {verb:<10}{summary}")
    lines += ["", "`whydeep VERB --help` says more about one of them."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
