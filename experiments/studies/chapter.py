"""The chapter: which studies make it up, in which order and under which headings; `conf/chapter.yaml` says it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import BaseModel, Field, ValidationError

from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, nearest
from experiments.studies.study_file import known_studies
from experiments.studies.study_parts import STRICT

FILE = CONFIG_DIR / "chapter.yaml"
# What `whydeep report` takes it by, and the name of its folder among the runs: no study is called so.
CHAPTER = "chapter"


@dataclass(frozen=True)
class Part:
    """Studies under one heading."""

    title: str
    studies: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """Studies in the order of their subject; each stands in one part."""

    title: str
    parts: tuple[Part, ...]

    @property
    def studies(self) -> tuple[str, ...]:
        """The names of all studies."""
        return tuple(name for part in self.parts for name in part.studies)

    def only(self, names: Collection[str]) -> "Chapter":
        """Return the chapter with these of its studies alone, in its order.

        Raises:
            UserError: a study that it has not.
        """
        for name in names:
            if name not in self.studies:
                raise UserError(f"only={name}: no such study in the chapter; {nearest(name, self.studies)}")
        kept = (replace(part, studies=tuple(own for own in part.studies if own in names)) for part in self.parts)
        return replace(self, parts=tuple(part for part in kept if part.studies))


class _File(BaseModel):
    model_config = STRICT

    title: str = Field(min_length=1)
    parts: dict[str, list[str]]


def read_chapter(file: Path | None = None, known: Collection[str] | None = None) -> Chapter:
    """Read the chapter, as far as its studies are there.

    Args:
        file: `conf/chapter.yaml` by default.
        known: names of the studies that there are; by default those of `conf/study`.

    Raises:
        UserError: one line that names the file, and what is wrong in it; or none of its studies is there.
    """
    path = file or FILE
    try:
        content = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {key}: {first['msg'][0].lower()}{first['msg'][1:]}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    listed = [name for names in content.parts.values() for name in names]
    if doubled := next((name for name in listed if listed.count(name) > 1), None):
        raise UserError(f"{path}: parts: {doubled} stands there twice; a study has one place")
    there = set(known_studies() if known is None else known) - {CHAPTER}
    parts = (Part(title, tuple(name for name in names if name in there)) for title, names in content.parts.items())
    chapter = Chapter(content.title, tuple(part for part in parts if part.studies))
    if not chapter.studies:
        raise UserError(f"{path}: parts: names none of the studies that there are; allowed: {', '.join(sorted(there))}")
    return chapter
