"""`whydeep describe`: what it prints and writes, and what it says of mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import cli, describe
from experiments.errors import UserError


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what `describe` prints, with single spaces."""
    assert describe.main(arguments) == 0
    return " ".join(capsys.readouterr().out.split())


def test_resnet20(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "model=resnet20", "input=32")
    assert "resnet20: 269,722 parameters (1.03 MiB), 40,551,040 MACs and" in text
    assert "at input 3x32x32, depth 20" in text
    assert "receptive field of the last map: 81 pixels, stride 4, padding 40; shortest path 3" in text
    assert "assumed: num_classes=10" in text
    # Parameters, MACs, receptive field, shortest path, pixels seen, stride, padding; unit 0 is centred on pixel 0.
    assert "layer3.2.conv2 Conv2d 64x8x8 36,864 2,359,296 81 19 0-31 4 40 exact" in text
    assert "fc Linear 10 650 640 32 - - - whole image" in text
    assert "whole image: avgpool: mean over the whole map" in text
    assert "at this input size its centre unit sees the pixels 0-31" in text


def test_any_key_of_the_model_can_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(
        capsys, "model=resnet20", "model.network.depth=32", "input=48x32", "num_classes=100", "in_channels=1"
    )
    assert "at input 1x48x32, depth 32" in text
    assert "137 pixels" in text
    assert "fc Linear 100" in text
    assert "assumed" not in text


def test_what_is_assumed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "assumed: input=32x32, num_classes=10" in printed(capsys, "model=plain20")
    assert "assumed: model=resnet20, num_classes=10" in printed(capsys, "input=32")
    assert "assumed: num_classes=1000" in printed(capsys, "model=vgg11", "input=224")
    assert "assumed: input=224x224, num_classes=1000" in printed(capsys, "model=torchvision:alexnet")


def test_networks_of_torchvision(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "model=torchvision:resnet50", "input=224")
    assert "25,557,032 parameters" in text
    assert "4,089,184,256 MACs" in text
    assert "427 pixels, stride 32, padding 213" in text
    assert "whole image (64)" in printed(capsys, "model=torchvision:mobilenet_v3_small", "input=64")
    # Its constructor computes with numbers: built with weights after all.
    assert "4,344,144 parameters" in printed(capsys, "model=torchvision:regnet_y_400mf", "num_classes=1000", "input=64")


def test_numbers_and_a_picture_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers, picture = tmp_path / "vgg.json", tmp_path / "vgg.png"
    text = printed(capsys, "model=vgg11_small", f"json={numbers}", f"picture={picture}")
    assert f"wrote {numbers}" in text
    content = json.loads(numbers.read_text(encoding="utf-8"))
    assert content["model"] == "vgg11_small"
    assert content["num_classes"] == 10
    assert content["input_shape"] == [3, 32, 32]
    assert content["field"]["size"] == [150, 150]
    assert content["macs"] == sum(layer["macs"] for layer in content["layers"])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_network_with_the_budget_of_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "matched.json"
    text = printed(capsys, "model=plain56", "input=32", "match.macs=resnet20", "match.by=width", f"json={file}")
    found = "39,813,480 MACs"
    assert f"plain56 with width_multiplier=0.5625: {found} at input 3x32x32; target resnet20: 40,551," in text
    assert "residual -737,560 (-1.82 %), within the tolerance of 2 %" in text
    # What is described is the matched network.
    assert f"parameters (1.03 MiB), {found} and" in text
    assert "layer3.8.conv2 Conv2d 36x8x8" in text
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["model"] == "plain56"
    assert content["macs"] == content["match"]["found"] == 39_813_480
    assert content["match"]["overrides"] == ["model.network.width_multiplier=0.5625"]


def test_a_budget_by_depth_and_as_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "model=plain20", "input=32", "match.parameters=853,018", "match.by=depth")
    assert "plain20 with depth=56: 853,018 parameters at 10 classes; target: 853,018; residual 0, within" in text
    assert "at input 3x32x32, depth 56" in text


def test_a_budget_that_cannot_be_met_is_said_and_the_nearest_described(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["model=plain20", "input=32", "match.macs=60000000", "match.by=depth"]
    assert describe.main(arguments) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "residual -5,293,184 (-8.82 %), outside the tolerance of 2 %: the nearest depth is this far off" in text
    assert "at input 3x32x32, depth 26" in text
    assert describe.main([*arguments, "match.tolerance=0.09"]) == 0
    assert "within the tolerance of 9 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=resnett20"], "model=resnett20: no such option; did you mean 'resnet20'?"),
        (["model=resnet20", "model.network.depht=32"], "did you mean 'model.network.depth'?"),
        (["model=resnet20", "model.network.depth=21"], "model.network.depth=21: must be 6n [+] 2"),
        (["model=resnet20", "model.network.depth=deep"], "model.network.depth='deep': must be int"),
        (["model=resnet20", "imput=32"], "imput=32: not a key of describe; did you mean 'input'?"),
        (["model=resnet20", "trainer.max_epochs=2"], "not a key of describe; allowed: batch, device, effective"),
        (["input=large"], "input=large: must be N or HxW in pixels"),
        (["input=32x32x3"], "input=32x32x3: must be N or HxW"),
        (["input=0"], "input=0: must be"),
        (["num_classes=-1"], "num_classes=-1: must be a whole number from 1 to 1,000,000"),
        (["model=vgg16", "input=8"], "input=8x8: model=vgg16: .* at least 32x32 pixels"),
        (["model=torchvision:vgg16", "input=8"], "input 8x8 is too small for this network: .* 32x32"),
        (["model=torchvision:resnet51"], "model=torchvision:resnet51: no such network .* did you mean 'resnet50'?"),
        (["model=torchvision:raft_small"], "no such network of images"),
        (["model=torchvision:nope"], "it has resnet50, vgg16, mobilenet_v3_small, vit_b_16 and "),
        (["model=torchvision:resnet5"], "did you mean 'resnet50' or "),
        (["model=résnet"], "model=résnet: no such option; did you mean 'resnet"),
        (["model=résnet,vgg"], "quote special characters"),
        (["model=resnet20", "input=40000", "effective=9"], "effective=9 takes about "),
        (["model=torchvision:resnet50", "in_channels=1"], "in_channels=1: torchvision's networks take 3"),
        (["model=torchvision:resnet50", "model.network.depth=5"], "torchvision's networks take no such key"),
        (["model=torchvision:fasterrcnn_resnet50_fpn", "picture=x.png"], "picture=x.png: .* decides by the values of"),
        (["model=torchvision:fasterrcnn_resnet50_fpn", "match.macs=9"], "match.by=width varies networks of conf/model"),
        (
            ["model=plain20", "match.macs=torchvision:retinanet_resnet50_fpn"],
            "nothing more can be known without numbers",
        ),
        (["json=numbers.txt"], "json=numbers.txt: must end in .json"),
        (["json=nowhere/numbers.json"], "the folder nowhere does not exist"),
        (["picture=drawing.bmp"], "must end in .png or .svg or .pdf"),
        (["--verbose"], "--verbose: unknown flag"),
        (["match.macs=resnett20"], "match.macs=resnett20: no such network; did you mean 'resnet20'?"),
        (["match.macs=torchvision:resnet21"], "match.macs=torchvision:resnet21: no such network of images"),
        (["match.mac=resnet20"], "match.mac=resnet20: not a key of describe; did you mean 'match.macs'?"),
        (["match.macs=-5"], "match.macs=-5: must be the name of a network or a whole number from 1"),
        (["match.macs=0"], "match.macs=0: must be the name of a network or a whole number from 1"),
        (["match.macs=4.5M"], "match.macs=4.5M: must be the name of a network or a whole number from 1"),
        (["match.macs=1,00"], "match.macs=1,00: must be the name of a network or a whole number from 1"),
        (["match.parameters=" + 500 * "9"], "must be the name of a network or a whole number from 1 to 10"),
        (["match.macs=resnet20", "match.parameters=9"], "match.parameters and match.macs: only one of them"),
        (["match.by=depth"], "match.by=depth: nothing to match; say what with match.macs or match.parameters"),
        (["match.tolerance=0.1"], "match.tolerance=0.1: nothing to match"),
        (["match.macs=9", "match.by=widht"], "match.by=widht: did you mean 'width'?"),
        (["match.macs=9", "match.tolerance=1"], "match.tolerance=1.0: must be from 0 to below 1"),
        (["match.macs=9", "match.tolerance=2%"], "match.tolerance=2%: must be a number, e.g. 0.02 for 2 %"),
        (["model=torchvision:resnet18", "match.macs=9"], "match.by=width varies networks of conf/model"),
        (["model=googlenet_small", "match.macs=9", "match.by=depth"], "lists no depths to choose from"),
        (["model=vgg11", "input=8", "match.macs=resnet20"], "model=vgg11: .* at least 32x32 pixels"),
        (["model=plain20", "input=8", "match.macs=vgg11"], "match.macs=vgg11: .* at least 32x32 pixels"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        describe.main(arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_exit_codes_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["describe", "input=nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["describe", "--help"]) == 0
    help_text = capsys.readouterr().out
    assert all(key in help_text for key in describe.KEYS)


def test_as_a_process_without_lightning() -> None:
    code = (
        "import sys; from experiments import describe; code = describe.main(['model=resnet20', 'input=32']); "
        "sys.exit(code or ('pytorch_lightning' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "269,722" in done.stdout


def test_a_page_holds_the_pictures_that_were_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.html"
    text = printed(capsys, "model=conv5x5", "input=16", "effective=2", f"html={file}")
    assert "effective receptive field of the last map: 95.45% of the gradient's energy" in text
    page = file.read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert f"whydeep describe model=conv5x5 input=16 effective=2 html={file}" in page


def test_numbers_that_need_weights_are_those_of_one_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "one.json", tmp_path / "other.json"]
    for file in files:
        printed(capsys, "model=conv5x5", "input=16", "effective=2", "latency=0.01", "batch=2", f"json={file}")
    one, other = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    assert one["effective"] == other["effective"]
    # The square lies around the unit's centre, which is not that of the image: it may reach beyond a border.
    assert 0 < one["effective"]["effective_receptive_field"] <= 2 * 16
    assert one["latency"]["input_shape"] == [2, 3, 16, 16]


# What torchvision publishes, and the scales and shifts of batch norm, which are frozen where weights are loaded.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("retinanet_resnet50_fpn", 34_014_999 + 53_120), ("fasterrcnn_resnet50_fpn", 41_755_286 + 53_120)],
)
def test_of_a_detector_the_parameters_are_known(
    name: str, parameters: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "detector.json"
    arguments = [f"model=torchvision:{name}", "num_classes=91", "input=64", f"json={file}"]
    text = printed(capsys, *arguments)
    assert f"torchvision:{name}: {parameters:,} parameters (" in text
    unsupported = f"status unsupported: of its {parameters:,} parameters nothing more can be known without numbers: "
    assert unsupported in text
    assert "decides by the values of a tensor what to do" in text
    content = json.loads(file.read_text(encoding="utf-8"))
    assert (content["model"], content["parameters"]) == (f"torchvision:{name}", parameters)
    assert content["weight_bytes"] == 4 * parameters
    assert content["field"]["status"] == "unsupported"
    assert "macs" not in content


def test_the_gradient_flow_at_initialisation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers, page = tmp_path / "flow.json", tmp_path / "flow.html"
    text = printed(capsys, "model=plain20", "input=16", "gradients=4", f"json={numbers}", f"html={page}")
    assert "norm of the gradient at initialisation: " in text
    flow = json.loads(numbers.read_text(encoding="utf-8"))["gradient_flow"]
    assert (flow["layers"][0], flow["layers"][-1], len(flow["layers"])) == ("conv1", "fc", 20)
    assert flow["steps"] == [0]
    norms = [row[0] for row in flow["gradient_norms"]]
    assert all(norm > 0 for norm in norms)
    assert f"{norms[0]:.3g} in conv1, the first layer, {norms[-1]:.3g} in fc, the last" in text
    assert f"least {min(norms):.3g} (" in text
    assert f"most {max(norms):.3g} (" in text
    assert page.read_text(encoding="utf-8").count("<svg") == 3
    # More images change the numbers, the same ones give them again.
    printed(capsys, "model=plain20", "input=16", "gradients=4", f"json={numbers}")
    assert json.loads(numbers.read_text(encoding="utf-8"))["gradient_flow"] == flow
    printed(capsys, "model=plain20", "input=16", "gradients=8", f"json={numbers}")
    assert json.loads(numbers.read_text(encoding="utf-8"))["gradient_flow"] != flow


def test_a_map_of_classes_has_a_gradient_flow(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "model=torchvision:lraspp_mobilenet_v3_large", "input=64", "num_classes=3", "gradients=2")
    assert "norm of the gradient at initialisation: " in text


def test_training_mode_sees_the_whole_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert "whole image (32); bn1: batch_norm over the whole map" in printed(
        capsys, "model=resnet20", "input=32", "mode=training"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["mode=train"], "mode=train: allowed: evaluation, training"),
        (["batch=2"], "batch=2: goes with latency=SECONDS"),
        (["latency=0"], "latency=0: must be a number of seconds above 0"),
        (["latency=nan"], "latency=nan: must be a number of seconds above 0"),
        (["latency=1", "device=tpu"], "device=tpu: allowed: cpu, cuda"),
        (["gradients=0"], "gradients=0: must be a whole number from 1"),
        (["effective=none"], "effective=none: must be a whole number from 1"),
        (["input=99999999999"], "input=99999999999: must be N or HxW in pixels"),
        (["num_classes=99999999999"], "num_classes=99999999999: must be a whole number from 1 to 1,000,000"),
        (["html=page.txt"], "html=page.txt: must end in .html"),
        (["picture=/proc/x.png"], "picture=/proc/x.png: cannot be written"),
        (["model=vgg16", "input=8"], "input=8x8: model=vgg16: this network needs at least 32x32 pixels"),
    ],
)
def test_what_cannot_be_described_is_said_in_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run("describe", ["model=conv5x5", *arguments] if "model=" not in arguments[0] else arguments) == 2
    printed_text, said = capsys.readouterr()
    assert printed_text == ""
    assert said.startswith(f"whydeep: error: {complaint}")
    assert said.count("\n") == 1
