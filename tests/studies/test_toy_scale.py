"""Every study that comes with the project runs at toy scale, from plan to report; what it answers there is noise."""

import json
from pathlib import Path

import pytest

from experiments import study
from experiments.studies.forecast import Forecast
from experiments.studies.study_file import known_studies, read_study

TOY = "toy"


@pytest.mark.parametrize("name", known_studies())
def test_a_study_runs_at_toy_scale(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = read_study(name).at_scale(TOY)
    monkeypatch.chdir(tmp_path)
    # The pictures of a run and the probes of a plan have tests of their own, and are most of what a run takes here.
    monkeypatch.setattr("experiments.runs.record.write_png", lambda _, path, **__: path.write_bytes(b""))
    monkeypatch.setattr("experiments.studies.conduct.forecast", lambda *_: Forecast(seconds=2, bytes=1, source="probe"))
    assert study.main([name, f"scale={TOY}", "seeds=1", "yes=true"]) == 0, capsys.readouterr().err
    (folder,) = (tmp_path / "runs").glob(f"{name}*/study")
    told = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert told["confounds"] == []
    for page in ("report.html", "report.md", "comparison.png"):
        assert (folder / page).stat().st_size > 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("supported: ", "refuted: ", "undecided: ")) for line in lines) == len(asked.claims)
