"""plane2 in plain PyTorch, with the published names of its tensors.

    network = Network()
    network.load_state_dict(floats(safetensors.torch.load_file("model.safetensors")))
    network.eval()

It takes [batch, 3, 32, 32], normalised as config.json says, and gives logits [batch, 10].
"""

import torch
from torch import nn

CLASSES = 10
# Channels of each convolution; "M" is a max-pool.
CONVOLUTIONS = [16, "M", 16, "M"]
# What goes into each fully connected layer; the last one gives the logits.
FULLY_CONNECTED = [1024]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for step in CONVOLUTIONS:
            if step == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, step, 3, padding=1), nn.BatchNorm2d(step), nn.ReLU()]
                channels = step
        self.conv_layers = nn.Sequential(*layers)
        sizes, layers = FULLY_CONNECTED + [CLASSES], []
        for inputs, outputs in zip(sizes, sizes[1:]):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.fc_layers = nn.Sequential(*layers[:-1])

    def forward(self, images):
        return self.fc_layers(self.conv_layers(images).flatten(1))


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
