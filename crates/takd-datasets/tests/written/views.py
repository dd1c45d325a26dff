"""Writes `views/`: what torchvision makes of `pictures/rgb.png`, 24x40, as bytes, red, green, blue.

    python3 views.py
"""
import os
from PIL import Image
from torchvision.transforms import InterpolationMode, RandAugment, functional
from torchvision.transforms.autoaugment import _apply_op

os.chdir(os.path.dirname(os.path.abspath(__file__)))
os.makedirs("views", exist_ok=True)
picture = Image.open("pictures/rgb.png").convert("RGB")


def write(name, image):
    with open(f"views/{name}.rgb", "wb") as file:
        file.write(image.tobytes())


# What is usual for evaluation: scaled, and the middle of that, also where the rest cannot be halved.
for side, shorter in [(14, 16), (16, 21), (28, 32), (5, 6)]:
    write(f"fit{side}of{shorter}", functional.center_crop(functional.resize(picture, shorter), side))

# A window at row 3, column 5, of 13 rows and 17 columns, scaled.
write("part", functional.resized_crop(picture, 3, 5, 13, 17, [12, 12]))

space = RandAugment()._augmentation_space(31, (picture.height, picture.width))
for magnitude in [9, 30]:
    for name, (magnitudes, signed) in space.items():
        value = float(magnitudes[magnitude]) if magnitudes.ndim > 0 else 0.0
        for sign in [1, -1] if signed else [1]:
            image = _apply_op(picture, name, sign * value, InterpolationMode.NEAREST, None)
            write(f"{name}{magnitude}{'-' if sign < 0 else ''}", image)
