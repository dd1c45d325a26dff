"""Writes the files of this folder, by Python's own libraries: numpy, pillow and pyarrow.

Image `i` of a split has, in channel c, row y and column x, the value (37 i + 11 c + 5 y + 3 x + 100 (test)) mod 256, and label
i mod 10. `pictures/` has one picture in many forms, and what Pillow makes of each: `NAME.rgb` are its bytes, red, green, blue.

    python3 write.py
"""
import gzip, io, json, os, pickle, struct, tarfile
import numpy as np
import pyarrow as pa, pyarrow.parquet as pq
from PIL import Image, ImageOps

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def image(i, test, side=32):
    c, y, x = np.meshgrid(np.arange(3), np.arange(side), np.arange(side), indexing="ij")
    return ((37 * i + 11 * c + 5 * y + 3 * x + 100 * test) % 256).astype(np.uint8)


def png(array):
    to = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0))).save(to, "PNG")
    return to.getvalue()


def folder(path):
    os.makedirs(path, exist_ok=True)
    return path


# CIFAR as its authors give it: the files of CIFAR-10 with two images each, those of CIFAR-100 with four.
python = folder("cifar-10-batches-py")
binary = folder("cifar-10-batches-bin")
for batch in range(6):
    test = batch == 5
    name = "test_batch" if test else f"data_batch_{batch + 1}"
    numbers = range(2) if test else range(2 * batch, 2 * batch + 2)
    images = np.stack([image(i, test) for i in numbers])
    labels = [i % 10 for i in numbers]
    with open(f"{python}/{name}", "wb") as file:
        content = {b"batch_label": b"a batch", b"labels": labels, b"data": images.reshape(2, 3072), b"filenames": [b"a.png"] * 2}
        pickle.dump(content, file, protocol=4)
    with open(f"{binary}/{name}.bin", "wb") as file:
        for one, label in zip(images, labels):
            file.write(bytes([label]) + one.tobytes())
with tarfile.open("cifar-10-python.tar.gz", "w:gz") as archive:
    archive.add(python)
for form in ["cifar-100-python", "cifar-100-binary"]:
    folder(form)
    for split in ["train", "test"]:
        images = np.stack([image(i, split == "test") for i in range(4)])
        if form == "cifar-100-python":
            with open(f"{form}/{split}", "wb") as file:
                content = {"fine_labels": [0, 1, 2, 3], "coarse_labels": [9, 9, 9, 9], "data": images.reshape(4, 3072)}
                pickle.dump(content, file, protocol=4)
        else:
            with open(f"{form}/{split}.bin", "wb") as file:
                for label, one in enumerate(images):
                    file.write(bytes([9, label]) + one.tobytes())

# MNIST: grey, 28x28, the training images under gzip.
folder("idx")
for split, test in [("train", False), ("t10k", True)]:
    images = b"".join(image(i, test, 28)[0].tobytes() for i in range(4))
    contents = {
        f"{split}-images-idx3-ubyte": struct.pack(">IIII", 0x803, 4, 28, 28) + images,
        f"{split}-labels-idx1-ubyte": struct.pack(">II", 0x801, 4) + bytes(range(4)),
    }
    for name, content in contents.items():
        with gzip.open(f"idx/{name}.gz", "wb") if not test else open(f"idx/{name}", "wb") as file:
            file.write(content)

# WebDataset: labels as numbers and as JSON, before and behind the image.
folder("shards")
for name, numbers, test in [("train-000000", [0, 1], False), ("train-000001", [2, 3], False), ("val-000000", [0, 1], True)]:
    with tarfile.open(f"shards/{name}.tar", "w") as archive:
        for i in numbers:
            label = [("cls", str(i % 10).encode())] if i % 2 else [("json", json.dumps({"label": i % 10}).encode())]
            for ending, content in ([("png", png(image(i, test)))] + label)[:: 1 if i < 2 else -1]:
                member = tarfile.TarInfo(f"some/folder/{i:06}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

# Parquet as `push_to_hub` of Python's `datasets` writes it, with the names of the classes.
folder("parquet/data")
names = [f"class {c}" for c in range(10)]
for split, count, test in [("train", 4, False), ("validation", 2, True)]:
    rows = [{"bytes": png(image(i, test)), "path": None} for i in range(count)]
    images = pa.array(rows, type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table({"image": images, "label": pa.array([i % 10 for i in range(count)], pa.int64())})
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, f"parquet/data/{split}-00000-of-00001.parquet")

# One picture, 40 columns and 24 rows, in every form.
folder("pictures")
y, x = np.meshgrid(np.arange(24), np.arange(40), indexing="ij")
smooth = np.stack([6 * x % 256, 10 * y % 256, (3 * x + 5 * y) % 256], -1).astype(np.uint8)
picture = Image.fromarray(smooth)
alpha = picture.convert("RGBA")
alpha.putalpha(128)
exif = Image.Exif()
forms = {
    "rgb.png": (picture, {}),
    "grey.png": (picture.convert("L"), {}),
    "palette.png": (picture.quantize(16), {}),
    "alpha.png": (alpha, {}),
    "bits.png": (picture.convert("1"), {}),
    "baseline.jpg": (picture, {"quality": 95, "subsampling": 0}),
    "subsampled.jpg": (picture, {"quality": 95}),
    "progressive.jpg": (picture, {"quality": 95, "progressive": True, "subsampling": 0}),
    "grey.jpg": (picture.convert("L"), {"quality": 95}),
    "cmyk.jpg": (picture.convert("CMYK"), {"quality": 95}),
    "lossless.webp": (picture, {"lossless": True}),
    "lossy.webp": (picture, {"quality": 95}),
    "first.gif": (picture.quantize(16), {"save_all": True, "append_images": [picture.quantize(16).rotate(180)]}),
    "first.tiff": (picture, {"compression": "tiff_lzw", "save_all": True, "append_images": [picture.rotate(180)]}),
    "rgb.bmp": (picture, {}),
}
for orientation in range(2, 9):
    exif[274] = orientation
    forms[f"turned{orientation}.jpg"] = (picture, {"quality": 95, "subsampling": 0, "exif": exif.tobytes()})
for name, (form, options) in forms.items():
    form.save(f"pictures/{name}", **options)
    with Image.open(f"pictures/{name}") as file, open(f"pictures/{name}.rgb", "wb") as rgb:
        rgb.write(ImageOps.exif_transpose(file).convert("RGB").tobytes())
for side in [5, 8, 17, 24, 32, 64]:
    with open(f"pictures/scaled{side}.rgb", "wb") as rgb:
        rgb.write(picture.crop((8, 0, 32, 24)).resize((side, side), Image.Resampling.BILINEAR).tobytes())
