"""Times PyTorch's distillation loss, forward and backward, one request a line, so that it can take turns with another.

Protocol, JSON lines over standard input and output:

    <- {"ready": "torch 2.15.0", "threads": 2, "contenders": ["pytorch_eager"]}        once, when loaded
    -> {"contender": "pytorch_eager", "batch": 128, "classes": 10, "dtype": "f32", "temperature": 4.0, "lambda": 0.5,
        "seconds": 0.25}
    <- {"seconds": [0.000196, ...], "loss": 2.31}                        of each call, as they ran
    <- {"error": "..."}                                                  instead, where the request failed

It ends when its standard input does. Arguments: --threads N (default: PyTorch's choice), --device cpu|cuda|mps.

The logits come from a fixed seed, and are made anew only when batch, classes or dtype change. Untimed calls go before the
timed ones, which go on for as many seconds as asked for. On a GPU, 20 calls follow each other before it is waited for,
and the mean of them is an entry.

The contenders, on a GPU all of them that can be imported, on a CPU the first:

- pytorch_eager: the composite everybody writes, in the logits' type:
  (1 - lambda) * cross_entropy(s, y) + lambda * tau^2 * kl_div(log_softmax(s / tau), softmax(t / tau), "batchmean")
- pytorch_compile: torch.compile around it; pytorch_cuda_graphs: with mode="reduce-overhead";
- liger_kl_div: Liger-Kernel's cross-entropy and KL divergence, with PyTorch's log_softmax and softmax;
- liger_jsd: the same with Liger-Kernel's Jensen-Shannon divergence, which at beta = 0 is the KL divergence.
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


def liger_kl_div(student, teacher, labels, temperature, share):
    from liger_kernel.transformers.functional import liger_cross_entropy, liger_kl_div

    log_p = F.log_softmax(student / temperature, dim=1)
    soft = liger_kl_div(log_p, F.softmax(teacher / temperature, dim=1), reduction="batchmean")
    # Last: it leaves its gradient where the logits were.
    return (1.0 - share) * liger_cross_entropy(student, labels) + share * temperature * temperature * soft


def liger_jsd(student, teacher, labels, temperature, share):
    from liger_kernel.transformers.functional import liger_cross_entropy, liger_jsd

    log_p, log_q = F.log_softmax(student / temperature, dim=1), F.log_softmax(teacher / temperature, dim=1)
    soft = liger_jsd(log_p, log_q, beta=0.0)
    return (1.0 - share) * liger_cross_entropy(student, labels) + share * temperature * temperature * soft


CONTENDERS = {
    "pytorch_eager": kd_loss,
    # A dimension that was once another would else be left open in the compiled code.
    "pytorch_compile": torch.compile(kd_loss, dynamic=False),
    "pytorch_cuda_graphs": torch.compile(kd_loss, dynamic=False, mode="reduce-overhead"),
    "liger_kl_div": liger_kl_div,
    "liger_jsd": liger_jsd,
}


def names(device):
    if device != "cuda":
        return ["pytorch_eager"]
    try:
        import liger_kernel  # noqa: F401
    except ImportError:
        return [name for name in CONTENDERS if not name.startswith("liger")]
    return list(CONTENDERS)


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


def measure(contender, inputs, request, device):
    """Seconds of each call, and the last loss."""
    student, teacher, labels = inputs
    loss_of, in_graphs = CONTENDERS[contender], contender == "pytorch_cuda_graphs"
    calls = 1 if device == "cpu" else 20
    seconds, warm, end = [], False, 0.0
    while not seconds or time.perf_counter() < end:
        synchronise(device)
        start = time.perf_counter()
        for _ in range(calls):
            if in_graphs:
                torch.compiler.cudagraph_mark_step_begin()
            student.grad = None  # part of a step: the last gradient's memory goes back
            loss = loss_of(student, teacher, labels, request.get("temperature", 4.0), request.get("lambda", 0.5))
            loss.backward()
        synchronise(device)
        now = time.perf_counter()
        if warm:
            seconds.append((now - start) / calls)
        else:
            warm, end = True, now + request.get("seconds", 0.25)
    return seconds, loss.item()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int)
    arguments.add_argument("--device", default="cpu", choices=["cpu", "cuda", "mps"])
    arguments = arguments.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = arguments.device

    def answer(line):
        print(json.dumps(line), flush=True)

    answer(
        {"ready": f"torch {torch.__version__}", "threads": torch.get_num_threads(), "contenders": names(device)}
    )
    made, inputs = None, None
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            wanted = (request["batch"], request["classes"], request.get("dtype", "f32"))
            contender = request.get("contender", "pytorch_eager")
            if wanted != made:
                inputs = None  # the old ones go before the new ones come
                made, inputs = wanted, make_inputs(*wanted, device)
            if contender.startswith("liger"):
                made = None  # the next one needs logits again
            seconds, loss = measure(contender, inputs, request, device)
            answer({"seconds": seconds, "loss": loss})
        except Exception as error:  # the asker decides what a failed request means
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
