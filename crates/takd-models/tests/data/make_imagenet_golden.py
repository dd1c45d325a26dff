"""Golden numbers of torchvision's ResNets, and of those that the teacher-assistant paper adds to them.

    pip install torch torchvision numpy safetensors
    python make_imagenet_golden.py   # writes imagenet-resnet14|18|50.safetensors and plane2_*.pth beside itself

Weights and images are too large to be kept, so a formula gives them, here and in `imagenet_golden.rs`: a 32-bit hash of the
tensor's name and the number's place in it, as a number in 0..1, scaled by the kind of tensor. Both sides get the same bits.

All else is computed in float64 and kept in float32: `logits_eval`, `logits_train` and `loss_train` (cross-entropy) for four
images; `grad_norms`, one a parameter, and `grad_samples`, up to 64 numbers of each, evenly spread; `after_samples`, up to 16
numbers of each running statistic after the one training pass. Tensors follow each other by name.

The `.pth` files hold the weights of plane2_cifar10.safetensors as torch.save writes them: one in float32 and channels-last
order, one in float16 and without num_batches_tracked, as old files are.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

HERE = Path(__file__).parent
IMAGES, SIDE = 4, 64


def unit(name, count):
    """Numbers in 0..1 with 24 bits: FNV-1a of the name, then `lowbias32` of that and the place."""
    start = 0x811C9DC5
    for byte in name.encode():
        start = (start ^ byte) * 0x01000193 % 2**32
    x = np.uint32(start) + np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9)
    x = (x ^ x >> 16) * np.uint32(0x7FEB352D)
    x = (x ^ x >> 15) * np.uint32(0x846CA68B)
    x = x ^ x >> 16
    return (x >> 8).astype(np.float64) / 2**24


def tensor(name, shape):
    numbers = unit(name, int(np.prod(shape)))
    if len(shape) > 1:
        # Variance 1 / fan-in.
        numbers = (2 * numbers - 1) * np.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        numbers = 0.5 + numbers
    elif name.endswith("weight"):
        numbers = 0.25 + 0.5 * numbers
    elif name.endswith("bias") and not name.startswith("fc"):
        # -2 to -1 and 1 to 2: few numbers come near 0 before a ReLU, where rounding would decide over the gradients below.
        numbers = 2 * numbers - 1
        numbers += np.sign(numbers)
    else:
        numbers = 0.2 * (numbers - 0.5)
    return torch.from_numpy(numbers.astype(np.float32).reshape(shape)).double()


def samples(tensors, most):
    """Up to `most` numbers of each, evenly spread."""
    picked = []
    for name in sorted(tensors):
        flat = tensors[name].flatten()
        count = min(most, len(flat))
        # An odd step, for it must not meet one place of all kernels alone.
        picked.append(flat[torch.arange(count) * (len(flat) // count | 1) % len(flat)])
    return torch.cat(picked)


def make(name, block, blocks, classes, images):
    """`images` names the images: of a few tried, those whose numbers before a ReLU stay farthest from 0."""
    model = ResNet(block, blocks, num_classes=classes).double()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if value.dtype == torch.float64:
                value.copy_(tensor(key, value.shape))
    # Of variance 1 as normalised images are.
    images = tensor(images, (IMAGES, 3, SIDE, SIDE)) * np.sqrt(3 * SIDE * SIDE)
    images = images.float().double()
    labels = torch.arange(IMAGES) * 3 % classes
    with torch.no_grad():
        logits_eval = model.eval()(images)
    logits = model.train()(images)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    grads = {key: value.grad for key, value in model.named_parameters()}
    after = {key: value for key, value in model.named_buffers() if "running" in key}
    out = {
        "logits_eval": logits_eval,
        "logits_train": logits.detach(),
        "loss_train": loss.detach().reshape(1),
        "grad_norms": torch.stack([grads[key].norm() for key in sorted(grads)]),
        "grad_samples": samples(grads, 64),
        "after_samples": samples(after, 16),
    }
    print(name, "logits", logits_eval.std().item(), logits.std().item(), "loss", loss.item())
    save_file({key: value.float().contiguous() for key, value in out.items()}, HERE / f"{name}.safetensors")


def make_pytorch_files():
    golden = load_file(HERE / "plane2_cifar10.safetensors")
    state = {key[2:]: value for key, value in golden.items() if key.startswith("w.")}
    order = lambda value: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
    whole = {key: value if value.dtype == torch.int64 else order(value.float()) for key, value in state.items()}
    torch.save(whole, HERE / "plane2_f32.pth")
    old = {key: value for key, value in state.items() if "num_batches" not in key}
    torch.save(old, HERE / "plane2_f16.pth")


if __name__ == "__main__":
    make("imagenet-resnet14", Bottleneck, [1, 1, 1, 1], 10, "images5")
    make("imagenet-resnet18", BasicBlock, [2, 2, 2, 2], 10, "images3")
    make("imagenet-resnet50", Bottleneck, [3, 4, 6, 3], 1000, "images5")
    make_pytorch_files()
