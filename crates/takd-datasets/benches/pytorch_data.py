"""Times torchvision's `ImageFolder` under PyTorch's `DataLoader`, one epoch a request, so that it can take turns with another.

Protocol, JSON lines over standard input and output:

    <- {"ready": "torch 2.15.0, torchvision 0.29.2, pillow 13.0.0"}
    -> {"decoder": "pillow", "view": "training"}
    <- {"seconds": 2.31, "images": 1000}
    <- {"error": "..."}                                                  instead, where the request failed

It ends when its standard input does. Arguments: --folder FOLDER (of classes), --side PIXELS, --batch IMAGES, --workers N.

Decoders: `pillow` (libjpeg-turbo, `PIL.Image`, transforms of pictures) and `io` (`torchvision.io.decode_image`, transforms of
uint8 tensors, antialiased). Views: `training` (RandomResizedCrop, RandomHorizontalFlip) and `evaluation` (Resize to 8/7 of the
side, CenterCrop); both give normalised float tensors.
"""

import argparse
import json
import sys
import time

import PIL
import torch
import torchvision
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

parser = argparse.ArgumentParser()
parser.add_argument("--folder", required=True)
parser.add_argument("--side", type=int, required=True)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--workers", type=int, required=True)
arguments = parser.parse_args()

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
torch.set_num_threads(1)


def loader(decoder, view):
    side = arguments.side
    if view == "training":
        crop = [v2.RandomResizedCrop(side, antialias=True), v2.RandomHorizontalFlip()]
    else:
        crop = [v2.Resize(side * 8 // 7, antialias=True), v2.CenterCrop(side)]
    if decoder == "pillow":
        transform = v2.Compose(crop + [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
        images = torchvision.datasets.ImageFolder(arguments.folder, transform)
    else:
        transform = v2.Compose(crop + [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
        images = torchvision.datasets.ImageFolder(
            arguments.folder, transform, loader=lambda path: decode_image(path, ImageReadMode.RGB)
        )
    workers = arguments.workers
    return torch.utils.data.DataLoader(
        images, arguments.batch, shuffle=view == "training", num_workers=workers, persistent_workers=True
    )


loaders = {}
versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, pillow {PIL.__version__}"
print(json.dumps({"ready": versions}), flush=True)
for line in sys.stdin:
    try:
        request = json.loads(line)
        key = (request["decoder"], request["view"])
        if key not in loaders:
            loaders[key] = loader(*key)
        start, images = time.perf_counter(), 0
        for batch, _ in loaders[key]:
            images += len(batch)
        print(json.dumps({"seconds": time.perf_counter() - start, "images": images}), flush=True)
    except Exception as error:
        print(json.dumps({"error": str(error)}), flush=True)
