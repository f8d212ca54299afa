"""What is wrong with a study's data, in one line: key, value, what is allowed."""

from pydantic import BaseModel, ValidationError

from experiments.runs.configuration import nearest
from experiments.studies.claim import Claim
from experiments.studies.study_parts import Arm, Budget, Scale


def mistake(error: ValidationError, whole: type[BaseModel]) -> str:
    """Say in one line what is wrong first with the data of `whole`, a study."""
    # A misspelt key is also a missing one; the misspelling is what helps.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join(location)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"arms": Arm, "claims": Claim, "budget": Budget, "scales": Scale}
        model = models.get(location[0], whole) if len(location) > 1 else whole
        fields = [field.alias or name for name, field in model.model_fields.items()]
        return f"{key}: unknown key; {nearest(location[-1], [*fields, *(['claim'] if model is whole else [])])}"
    if first["type"] == "missing":
        return f"{key}: missing"
    if not key:
        return message
    value = "" if isinstance(first["input"], dict) else f"={first['input']!r}"
    return f"{key}{value}: {message[0].lower()}{message[1:]}"
