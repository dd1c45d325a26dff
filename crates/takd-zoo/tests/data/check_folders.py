"""Model folders as PyTorch and ONNX Runtime read them, beside what takd computes.

    pip install torch safetensors pillow onnx onnxruntime
    python check_folders.py FOLDER...

Beside each folder lie `FOLDER.images`, bytes [images, side, side, 3], `FOLDER.logits`, 32-bit floats, and `FOLDER.bmp`, the first image;
and `FOLDER.pictures.json`, a list of [picture, scaling, file with the pixels, by how much they may be off].
Prints by how much logits differ, as a share of the largest. Ends with an error if that is more than 1e-4.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
import torch
from PIL import Image
from safetensors import safe_open

TOLERANCE = 1e-4


def fresh(folder, name):
    """The module of this name in the folder, whatever was imported before."""
    sys.modules.pop(name, None)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def check(folder):
    config = json.loads((folder / "config.json").read_text())
    side = config["input"]["height"]
    images = numpy.fromfile(f"{folder}.images", dtype=numpy.uint8).reshape(-1, side, side, 3)
    expected = numpy.fromfile(f"{folder}.logits", dtype=numpy.float32).reshape(len(images), config["classes"])

    def difference(name, found):
        off = float(numpy.abs(numpy.asarray(found) - expected).max() / numpy.abs(expected).max())
        print(f"{folder.name}: {name} is off by {off:.1e}")
        assert off <= TOLERANCE, name

    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    sys.modules.pop("model", None)
    example = fresh(folder, "example")
    network, _ = example.load()
    mean, std = (torch.tensor(config["input"][name]) for name in ["mean", "std"])
    normalized = ((torch.from_numpy(images).float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
    with torch.inference_mode():
        difference("PyTorch", network(normalized))
    # The very pixels, through a file.
    assert torch.equal(example.batch([f"{folder}.bmp"], config), normalized[:1])
    pictures = Path(f"{folder}.pictures.json")
    for picture, scaling, pixels, tolerance in json.loads(pictures.read_text()) if pictures.exists() else []:
        found = numpy.asarray(example.scaled(Image.open(picture), scaling)).astype(int).ravel()
        worst = numpy.abs(found - numpy.fromfile(pixels, dtype=numpy.uint8)).max()
        print(f"{Path(picture).name} as {scaling}: off by {worst} of 255")
        assert worst <= tolerance

    file = folder / "model.onnx"
    onnx.checker.check_model(file, full_check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == config["class_names"]
    takes_pixels = session.get_inputs()[0].type == "tensor(uint8)"
    given = images if takes_pixels else normalized.numpy()
    difference("ONNX Runtime", session.run(["logits"], {"images": given})[0])
    # Any number of images.
    single = numpy.concatenate([session.run(None, {"images": given[i : i + 1]})[0] for i in range(len(given))])
    difference("ONNX Runtime, one by one", single)


for argument in sys.argv[1:]:
    check(Path(argument))
