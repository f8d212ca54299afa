"""Studies as files: `conf/study/<name>.yaml`."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.errors import StudyError, UserError
from experiments.runs.configuration import CONFIG_DIR, nearest
from experiments.studies.study import Study, checked

STUDIES = CONFIG_DIR / "study"


def known_studies(folder: Path | None = None) -> list[str]:
    """Return the names of all studies."""
    return sorted(file.stem for file in (folder or STUDIES).glob("*.yaml") if file.is_file())


def study_file(name: str, folder: Path | None = None) -> Path:
    """Return the file of the study called `name`.

    Raises:
        UserError: there is none.
    """
    file = (folder or STUDIES) / f"{name}.yaml"
    if Path(name).name != name or not file.is_file():
        raise UserError(f"study={name}: no such study; {nearest(Path(name).stem, known_studies(folder))}")
    return file


def read_study(name: str, folder: Path | None = None) -> Study:
    """Read and check the study called `name`.

    Raises:
        UserError: there is none, or one line that names the file, the key, its value and what is allowed.
    """
    file = study_file(name, folder)
    with said_of(file):
        study = checked(_content(file), "study.")
        for scale in study.scales:
            try:
                study.at_scale(scale)
            except UserError as error:
                raise StudyError(f"study.{error}") from error
    return study


@contextmanager
def said_of(file: Path) -> Iterator[None]:
    """Begin what is said of a mistake in a study with its file; relative to where one stands, if it is below.

    Raises:
        UserError: the mistake.
    """
    try:
        yield
    except StudyError as error:
        here = Path.cwd()
        shown = file.relative_to(here) if file.is_relative_to(here) else file
        raise UserError(f"{shown}: {error}") from error


def _content(file: Path) -> dict[str, object]:
    """Return what stands below `study`; a key that is written twice is refused: an arm would silently be lost.

    Raises:
        StudyError: it is no such mapping, with the line where it ceases to be.
    """
    try:
        # Unlike plain YAML, OmegaConf refuses doubled keys.
        content = OmegaConf.to_container(OmegaConf.load(io.StringIO(file.read_text(encoding="utf-8"))))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise StudyError(f"line {line}: not text in UTF-8, which a study must be saved as") from error
    except yaml.MarkedYAMLError as error:
        raise StudyError(_unreadable(error)) from error
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise StudyError(f"not readable as YAML ({str(error).splitlines()[0]})") from error
    except OSError as error:
        raise StudyError(f"cannot be read ({error.strerror or error})") from error
    wanted = "must hold one mapping under the key 'study'"
    if not isinstance(content, dict):
        raise StudyError(f"{wanted}; it holds {'a list' if isinstance(content, list) else 'a text'}")
    if set(content) != {"study"}:
        found = f"has {', '.join(map(str, content))}" if content else "is empty"
        raise StudyError(f"{wanted}; it {found}")
    if not isinstance(study := content["study"], dict):
        raise StudyError(f"{wanted}; below that is {'nothing' if study is None else repr(study)}")
    return {str(key): value for key, value in study.items()}


def _unreadable(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    said = ", ".join(filter(None, (error.context, error.problem)))
    cure = "; indent with spaces, not with tabs" if "'\\t'" in said else ""
    return f"{where}not readable as YAML: {said}{cure}"
