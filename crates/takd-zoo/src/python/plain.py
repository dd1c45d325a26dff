"""@NAME@ in plain PyTorch, with the published names of its tensors.

    network = Network()
    network.load_state_dict(floats(safetensors.torch.load_file("model.safetensors")))
    network.eval()

It takes [batch, 3, 32, 32], normalised as config.json says, and gives logits [batch, @CLASSES@].
"""

import torch
from torch import nn

CLASSES = @CLASSES@
# Channels of each convolution; "M" is a max-pool.
CONVOLUTIONS = @CONVOLUTIONS@
# What goes into each fully connected layer; the last one gives the logits.
FULLY_CONNECTED = @FULLY_CONNECTED@


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
