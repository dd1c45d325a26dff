"""Times training steps and evaluations in PyTorch, one request a line.

Arguments: the device, "cpu" or "cuda", and the number of threads.

Request:  {"model": "plane2", "mode": "train", "layout": "channels_last", "compile": false, "graphs": false, "batch": 128,
           "side": 32, "classes": 10, "steps": 5}
Answer:   {"ms": [16.8, ...], "peak_kib": [400000, 500000]}, or {"error": "..."}

`graphs` asks for CUDA graphs of what is compiled. `ms` are the times of `steps` steps, one step before them not counted; on
CUDA, where nothing waits for a step alone, their mean. All is in f32, without TF32. `peak_kib` is the most memory resident, when PyTorch
was loaded and by now; nulls where the system does not tell.
"""

import json
import sys
import time

import torch
import torch._dynamo
from torch import nn
from torch.nn import functional as F

DEVICE = sys.argv[1]

PLAIN = {
    "plane2": ([[16], [16]], None),
    "plane4": ([[16, 16], [32, 32]], None),
    "plane10": ([[32, 32], [64, 64], [128, 128], [256] * 4], 128),
}


def plain(name):
    groups, hidden = PLAIN[name]
    layers, channels, side = [], 3, 32
    for group in groups:
        for width in group:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
        side //= 2
    layers.append(nn.Flatten())
    features = channels * side * side
    layers += [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 10)] if hidden else [nn.Linear(features, 10)]
    return nn.Sequential(*layers)


class Block(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    def __init__(self, c_in, width, stride):
        super().__init__()
        c_out = 4 * width
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


# As torchvision has them.
IMAGENET = {14: (1, 1, 1, 1), 20: (1, 2, 2, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def imagenet_resnet(depth, classes):
    layers, channels = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)], 64
    layers.append(nn.MaxPool2d(3, 2, 1))
    for stage, (width, blocks) in enumerate(zip((64, 128, 256, 512), IMAGENET[depth])):
        for i in range(blocks):
            layers.append(Bottleneck(channels, width, 2 if i == 0 and stage > 0 else 1))
            channels = 4 * width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers)


def resnet(depth):
    layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for stage, width in enumerate((16, 32, 64)):
        for i in range((depth - 2) // 6):
            layers.append(Block(channels, width, 2 if i == 0 and stage > 0 else 1))
            channels = width
    layers += [nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*layers)


def peak_kib():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None


class Task:
    def __init__(self, request):
        torch.manual_seed(0)
        name = request["model"]
        if name.startswith("imagenet-resnet"):
            model = imagenet_resnet(int(name[15:]), request["classes"])
        else:
            model = resnet(int(name[6:])) if name.startswith("resnet") else plain(name)
        layout = getattr(torch, request["layout"])
        self.train = request["mode"] == "train"
        model = model.to(DEVICE, memory_format=layout).train(self.train)
        self.images = torch.randn(request["batch"], 3, request["side"], request["side"], device=DEVICE).contiguous(memory_format=layout)
        self.labels = torch.arange(request["batch"], device=DEVICE) % 10
        self.sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        mode = "reduce-overhead" if request["graphs"] else None
        self.model = torch.compile(model, mode=mode) if request["compile"] else model
        for _ in range(3):
            self.step()

    def step(self):
        if not self.train:
            with torch.inference_mode():
                self.model(self.images)
            return
        self.sgd.zero_grad(set_to_none=True)
        F.cross_entropy(self.model(self.images), self.labels).backward()
        self.sgd.step()


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def main():
    torch.set_num_threads(int(sys.argv[2]))
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    # Every network, mode and layout is compiled in this one process; past the limit PyTorch would quietly run eagerly.
    torch._dynamo.config.recompile_limit = 1000
    tasks = {}
    loaded_kib = peak_kib()
    for line in sys.stdin:
        try:
            request = json.loads(line)
            key = json.dumps({k: v for k, v in request.items() if k != "steps"}, sort_keys=True)
            task = tasks.setdefault(key, None) or Task(request)
            tasks[key] = task
            task.step()
            times = []
            at_once = request["steps"] if DEVICE == "cuda" else 1
            for _ in range(request["steps"] // at_once):
                wait()
                start = time.perf_counter()
                for _ in range(at_once):
                    task.step()
                wait()
                times.append(1000 * (time.perf_counter() - start) / at_once)
            answer = {"ms": times, "peak_kib": [loaded_kib, peak_kib()]}
        except Exception as error:  # noqa: BLE001 the asker decides what to do without this variant
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


main()
