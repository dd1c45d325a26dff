"""Files as people have them, around the weights of plane2_cifar10.safetensors in float16; they are written beside this one.

    pip install torch numpy safetensors
    python make_import_files.py

`plane2_takd.pth.tar` is what train.py of the published teacher-assistant code saves. `plane2_legacy.th` is of the format before PyTorch
1.6, from DataParallel, with what else training scripts put into a checkpoint. `whole_module.pth` and `torchscript.pt` are no state dicts.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from make_golden import Plane2
from safetensors.torch import load_file
from torch import nn

HERE = Path(__file__).parent


def main():
    golden = load_file(HERE / "plane2_cifar10.safetensors")
    model = Plane2().half()
    model.load_state_dict({key[2:]: value for key, value in golden.items() if key.startswith("w.")})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, nesterov=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    takd = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "epoch": 7}
    torch.save(takd, HERE / "plane2_takd.pth.tar")

    options = argparse.Namespace(arch="plane2", lr=0.1, milestones=[1, 2], nested={"a": (1, 2.5, None)}, device=torch.device("cpu"))
    legacy = {"epoch": 3, "best_prec1": np.float64(70.5), "args": options, "curve": np.arange(3), "acc": torch.tensor(70.5), "amp": None}
    legacy |= {"state_dict": nn.DataParallel(model).state_dict()}
    torch.save(legacy, HERE / "plane2_legacy.th", _use_new_zipfile_serialization=False)

    torch.save({"net": nn.Linear(2, 2), "acc": 1.0}, HERE / "whole_module.pth")
    torch.jit.script(nn.Linear(2, 2)).save(HERE / "torchscript.pt")


if __name__ == "__main__":
    main()
