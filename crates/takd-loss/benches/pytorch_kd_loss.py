"""Times PyTorch's distillation loss, forward and backward, one request a line, so that it can take turns with another.

Protocol, JSON lines over standard input and output:

    <- {"ready": "torch 2.15.0", "threads": 2, "device": "cpu"}          once, when loaded
    -> {"batch": 128, "classes": 10, "dtype": "f32", "temperature": 4.0, "lambda": 0.5, "seconds": 0.25}
    <- {"seconds": [0.000196, ...], "loss": 2.31}                        one entry a call, sorted as they ran
    <- {"error": "..."}                                                  instead, where the request failed

It ends when its standard input does. Arguments: --threads N (default: PyTorch's choice), --device cpu|cuda|mps,
--compile (torch.compile around the loss).

The logits come from a fixed seed, and are made anew only when batch, classes or dtype change. One untimed call goes
before the timed ones, which go on for as many seconds as asked for. The loss is the composite everybody writes:

    (1 - lambda) * cross_entropy(s, y) + lambda * tau^2 * kl_div(log_softmax(s / tau), softmax(t / tau), "batchmean")
"""

import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def kd_loss(student, teacher, labels, temperature, share):
    hard = F.cross_entropy(student, labels)
    soft = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.softmax(teacher / temperature, dim=1),
        reduction="batchmean",
    )
    return (1.0 - share) * hard + share * temperature * temperature * soft


def make_inputs(batch, classes, dtype, device):
    generator = torch.Generator().manual_seed(0)
    student = (3 * torch.randn(batch, classes, generator=generator)).to(device, DTYPES[dtype]).requires_grad_()
    teacher = (3 * torch.randn(batch, classes, generator=generator)).to(device, DTYPES[dtype])
    labels = torch.randint(classes, (batch,), generator=generator).to(device)
    return student, teacher, labels


def synchronise(device):
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int)
    arguments.add_argument("--device", default="cpu", choices=["cpu", "cuda", "mps"])
    arguments.add_argument("--compile", action="store_true")
    arguments = arguments.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    loss_of = torch.compile(kd_loss) if arguments.compile else kd_loss

    def answer(line):
        print(json.dumps(line), flush=True)

    answer({"ready": f"torch {torch.__version__}", "threads": torch.get_num_threads(), "device": arguments.device})
    made, inputs = None, None
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            wanted = (request["batch"], request["classes"], request.get("dtype", "f32"))
            if wanted != made:
                inputs = None  # the old ones go before the new ones come
                made, inputs = wanted, make_inputs(*wanted, arguments.device)
            student, teacher, labels = inputs
            seconds, warm, end = [], False, 0.0
            while not seconds or time.perf_counter() < end:
                synchronise(arguments.device)
                start = time.perf_counter()
                student.grad = None  # part of a step: the last gradient's memory goes back
                loss = loss_of(student, teacher, labels, request.get("temperature", 4.0), request.get("lambda", 0.5))
                loss.backward()
                synchronise(arguments.device)
                now = time.perf_counter()
                if warm:
                    seconds.append(now - start)
                else:
                    warm, end = True, now + request.get("seconds", 0.25)
            answer({"seconds": seconds, "loss": loss.item()})
        except Exception as error:  # the asker decides what a failed request means
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
