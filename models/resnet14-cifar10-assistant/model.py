"""resnet14 in plain PyTorch, with the published names of its tensors.

    network = Network()
    network.load_state_dict(floats(safetensors.torch.load_file("model.safetensors")))
    network.eval()

It takes [batch, 3, side, side], normalised as config.json says, and gives logits [batch, 10].
"""

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10
# Rows and columns of the first convolution's kernel, its stride, its channels; and whether a max-pool follows.
STEM = (3, 1, 16)
STEM_POOL = False
# For each stage, the channels of its 3x3 convolutions and the number of its blocks.
STAGES = [(16, 2), (32, 2), (64, 2)]
# Whether a block is 1x1, 3x3 and 1x1 with four times the channels; else it is two of 3x3.
BOTTLENECK = False


def conv(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        if BOTTLENECK:
            self.outputs = 4 * width
            self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = conv(width, self.outputs, 1), nn.BatchNorm2d(self.outputs)
        else:
            self.outputs = width
            self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != self.outputs:
            self.downsample = nn.Sequential(conv(inputs, self.outputs, 1, stride), nn.BatchNorm2d(self.outputs))

    def forward(self, features):
        hidden = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(features)))))
        if BOTTLENECK:
            hidden = self.bn3(self.conv3(F.relu(hidden)))
        return F.relu(hidden + self.downsample(features))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        kernel, stride, channels = STEM
        self.conv1, self.bn1 = conv(3, channels, kernel, stride), nn.BatchNorm2d(channels)
        for number, (width, count) in enumerate(STAGES, 1):
            blocks = []
            for index in range(count):
                blocks.append(Block(channels, width, 2 if number > 1 and index == 0 else 1))
                channels = blocks[-1].outputs
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, images):
        features = F.relu(self.bn1(self.conv1(images)))
        if STEM_POOL:
            features = F.max_pool2d(features, 3, 2, 1)
        for number in range(1, len(STAGES) + 1):
            features = getattr(self, f"layer{number}")(features)
        return self.fc(features.mean((2, 3)))


def floats(tensors):
    """The tensors of model.safetensors as 32-bit floats: 8-bit weights are multiplied with the scale of their channel."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(".scale"):
            continue
        if tensor.dtype == torch.int8:
            scale = tensors[name + ".scale"]
            tensor = tensor.float() * scale.reshape([-1] + [1] * (tensor.dim() - 1))
        result[name] = tensor.float() if tensor.is_floating_point() else tensor
    return result
