"""Classifies images with the model in the folder of this file.

    pip install torch safetensors pillow
    python example.py cat.jpg dog.png
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from model import Network, floats  # noqa: E402

# How a picture is turned upright, by its EXIF orientation.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image, orientation):
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def scaled(image, scaling):
    """The square that `64` or `224of256` makes of an image, as in the training (decoders of JPEG differ by a little)."""
    orientation = image.getexif().get(0x0112, 1)
    image = image.convert("RGB")
    if "of" not in scaling:
        side, edge = int(scaling), min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        image = image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BILINEAR)
        return upright(image, orientation)
    side, shorter = map(int, scaling.split("of"))
    image = upright(image, orientation)
    least = min(image.size)
    width, height = (shorter if size == least else shorter * size // least for size in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + side, top + side))


def batch(paths, config):
    """Images as the network takes them, [batch, 3, height, width]."""
    given = config["input"]
    images = []
    for path in paths:
        with Image.open(path) as image:
            image = scaled(image, given["scaling"])
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        images.append(pixels.reshape(given["height"], given["width"], 3))
    mean, std = torch.tensor(given["mean"]), torch.tensor(given["std"])
    return ((torch.stack(images).float() / 255 - mean) / std).permute(0, 3, 1, 2)


def load():
    """The network, and its configuration."""
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    network = Network()
    network.load_state_dict(floats(load_file(FOLDER / "model.safetensors")), strict=True)
    return network.eval(), config


def main(paths, top=5):
    network, config = load()
    with torch.inference_mode():
        probabilities = network(batch(paths, config)).softmax(1)
    top = min(top, config["classes"])
    for path, probability in zip(paths, probabilities):
        print(path)
        for share, index in zip(*probability.topk(top)):
            print(f"  {100 * share:5.1f} %  {config['class_names'][index]}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
