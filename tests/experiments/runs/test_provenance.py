"""What is taken down of the machine tells two processors of one name apart."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.runs import provenance

EPYC = """processor	: 0
vendor_id	: AuthenticAMD
cpu family	: 25
model		: 1
model name	: AMD EPYC
stepping	: 1

processor	: 1
model		: 99
"""
ARM = """processor	: 0
CPU implementer	: 0x41
CPU variant	: 0x3
CPU part	: 0xd0c
CPU revision	: 1
"""


def told(text: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file.write_text(text)
    monkeypatch.setattr(provenance, "CPUINFO", file)
    return provenance.collect().processor_model


def test_the_model_of_a_processor_is_taken_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(EPYC, tmp_path / "cpuinfo", monkeypatch) == "family 25, model 1, stepping 1"
    assert told(ARM, tmp_path / "cpuinfo", monkeypatch) == "implementer 0x41, variant 0x3, part 0xd0c, revision 1"


def test_where_nothing_is_told_of_it_the_name_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "CPUINFO", tmp_path / "missing")
    found = provenance.collect()
    assert found.processor_model == ""
    assert "()" not in found.hardware


def test_two_models_of_one_name_are_two_machines() -> None:
    here = replace(
        provenance.collect(), processor="AMD EPYC", processor_model="family 25, model 1", instructions="AVX2"
    )
    assert here.hardware.startswith("AMD EPYC (family 25, model 1), AVX2, ")
    assert replace(here, processor_model="family 25, model 17").hardware != here.hardware
