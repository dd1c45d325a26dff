"""Golden tensors of the published networks, small enough to be kept here.

    pip install torch numpy safetensors
    python make_golden.py            # writes plane2_cifar10.safetensors and resnet8_cifar10.safetensors beside itself

Computed in float64. Weights and images are numbers that float16 holds exactly and are stored so where that saves room;
so are gradients of more than a thousand numbers, rounded. `w.*` the state dict, `input`, `labels`; `logits_eval`,
`logits_train`, `loss_train` (cross-entropy), `grad.*` for every parameter, `after.*` the running statistics after the
one training forward pass.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

IMAGES = 4


class Plane2(nn.Module):
    def __init__(self, classes=10, width=16):
        super().__init__()
        block = lambda c_in: [nn.Conv2d(c_in, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
        self.conv_layers = nn.Sequential(*block(3), *block(width))
        self.fc_layers = nn.Sequential(nn.Linear(width * 64, classes))

    def forward(self, x):
        return self.fc_layers(self.conv_layers(x).flatten(1))


class Block(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out)
        self.downsample = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.downsample(x))


class Resnet8(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2))
        self.layer3 = nn.Sequential(Block(32, 64, 2))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def golden(model, images, labels):
    """Everything but the weights, in float64."""
    with torch.no_grad():
        out = {"logits_eval": model.eval()(images)}
    logits = model.train()(images)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    out |= {"logits_train": logits.detach(), "loss_train": loss.detach().reshape(1)}
    out |= {f"grad.{name}": p.grad for name, p in model.named_parameters()}
    out |= {f"after.{name}": b for name, b in model.named_buffers() if "running" in name}
    return out


def make(name, model):
    torch.manual_seed(1902)
    model = model.double()
    images, labels = torch.randn(IMAGES, 3, 32, 32).half().double(), torch.arange(IMAGES) * 3 % 10
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if value.dtype != torch.float64:
                continue
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape) * (2 / value[0].numel()) ** 0.5)
            elif key.endswith("running_var") or (key.endswith("weight") and "fc" not in key):
                value.copy_(0.5 + torch.rand(value.shape))
            else:
                value.copy_(torch.randn(value.shape) * 0.1)
            value.copy_(value.half())
    state = {key: value.clone() for key, value in model.state_dict().items()}
    out = {f"w.{key}": v if v.dtype == torch.int64 else v.half() for key, v in state.items()}
    out |= {"input": images.half(), "labels": labels}
    for key, value in golden(model, images, labels).items():
        out[key] = value.half() if value.numel() > 1000 else value.float()
    save_file({key: value.contiguous() for key, value in out.items()}, Path(__file__).with_name(f"{name}.safetensors"))


def check(model, path):
    """Prints how far these definitions are from another golden file of the same network."""
    there = load_file(path)
    model.load_state_dict({key[2:]: value for key, value in there.items() if key.startswith("w.")})
    here = golden(model.double(), there["input"].double(), there["labels"])
    worst = max((here[key] - there[key].double()).abs().max().item() for key in here)
    print(f"{path}: {len(here)} tensors, largest difference {worst:.1e}")


if __name__ == "__main__":
    networks = {"plane2_cifar10": Plane2, "resnet8_cifar10": Resnet8}
    for name, network in networks.items():
        make(name, network())
        if len(sys.argv) > 1:
            check(network(), Path(sys.argv[1], f"{name}.safetensors"))
