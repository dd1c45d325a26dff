"""Writes golden.safetensors beside this file: losses and gradients by PyTorch in float64, from the papers' equations.

    python make_golden.py

Each case is a group of tensors `CASE.NAME` and a line of metadata, `CASE` -> its settings as JSON. All are float64, labels
int64. `loss` is the value, `grad` its gradient for `student`.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

TENSORS, CASES = {}, {}


def softmax_kl(student, teacher, tau):
    """KL(softmax(t / tau) || softmax(s / tau)) of each row."""
    q = F.softmax(teacher / tau, 1)
    return (q * (F.log_softmax(teacher / tau, 1) - F.log_softmax(student / tau, 1))).sum(1)


def case(name, loss_of, batch, classes, teachers=1, spread=3.0, labels=None, weights=None, **settings):
    generator = torch.Generator().manual_seed(len(CASES) + 1)
    normal = lambda: spread * torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    student = normal().requires_grad_()
    teacher = [normal() for _ in range(teachers)]
    if labels is None:
        labels = torch.randint(classes, (batch,), generator=generator)
    loss = loss_of(student, teacher, labels, weights)
    loss.sum().backward()
    CASES[name] = settings
    found = {"student": student.detach(), "labels": labels, "loss": loss.detach(), "grad": student.grad}
    found.update({f"teacher{i}": t for i, t in enumerate(teacher)})
    if weights is not None:
        found["weights"] = weights
    TENSORS.update({f"{name}.{key}": value.contiguous() for key, value in found.items()})


def kd(tau, lam, reduction="batchmean", smoothing=0.0, ignore=None, shares=(1.0,)):
    def loss_of(student, teachers, labels, weights):
        w = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights.clone()
        if ignore is not None:
            w[labels == ignore] = 0
        valid = torch.where(labels == ignore, torch.zeros_like(labels), labels) if ignore is not None else labels
        ce = F.cross_entropy(student, valid, reduction="none", label_smoothing=smoothing)
        kl = sum(share * softmax_kl(student, t, tau) for share, t in zip(shares, teachers))
        if reduction == "mean":
            kl = kl / student.shape[1]
        rows = w * ((1 - lam) * ce + lam * tau**2 * kl)
        return {"none": rows, "sum": rows.sum()}.get(reduction, rows.sum() / w.sum())

    return loss_of


def dkd(w, alpha, beta, tau):
    def loss_of(student, teachers, labels, _):
        on_label = F.one_hot(labels, student.shape[1]).bool()

        def parts(logits):
            p = F.softmax(logits / tau, 1)
            target = p[on_label]
            others = (logits / tau)[~on_label].reshape(len(labels), -1)
            return torch.stack([target, 1 - target], 1), F.log_softmax(others, 1)

        (b_s, o_s), (b_t, o_t) = parts(student), parts(teachers[0])
        tckd = (b_t * (b_t.log() - b_s.log())).sum(1).mean()
        nckd = (o_t.exp() * (o_t - o_s)).sum(1).mean()
        return w * F.cross_entropy(student, labels) + tau**2 * (alpha * tckd + beta * nckd)

    return loss_of


def standardized(tau, lam):
    def z(x):
        return (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-7)

    def loss_of(student, teachers, labels, _):
        kl = softmax_kl(z(student), z(teachers[0]), tau).mean()
        return (1 - lam) * F.cross_entropy(student, labels) + lam * tau**2 * kl

    return loss_of


def dist(w, beta, gamma, tau):
    def relation(x, y):
        x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
        return (1 - (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1) + 1e-8)).mean()

    def loss_of(student, teachers, labels, _):
        p, q = F.softmax(student / tau, 1), F.softmax(teachers[0] / tau, 1)
        return w * F.cross_entropy(student, labels) + tau**2 * (beta * relation(p, q) + gamma * relation(p.T, q.T))

    return loss_of


def main():
    shapes = [(1, 2), (3, 7), (5, 10), (4, 33), (2, 1100)]
    settings = [(4.0, 0.5), (1.0, 0.3), (2.5, 0.9), (20.0, 1.0), (0.5, 0.7), (3.0, 0.0), (10.0, 0.4)]
    for i, (tau, lam) in enumerate(settings):
        batch, classes = shapes[i % len(shapes)]
        for reduction in ["batchmean", "mean", "sum", "none"]:
            case(f"kd{i}_{reduction}", kd(tau, lam, reduction), batch, classes,
                 loss="kd", temperature=tau, lam=lam, reduction=reduction)
    labels = torch.tensor([3, -100, 0, 6, -100, 2])
    weights = torch.tensor([1.0, 2.0, 0.0, 0.5, 0.25, 3.0], dtype=torch.float64)
    for reduction in ["batchmean", "mean", "sum", "none"]:
        case(f"options_{reduction}", kd(2.0, 0.6, reduction, 0.1, -100), 6, 7, labels=labels, weights=weights,
             loss="kd", temperature=2.0, lam=0.6, reduction=reduction, smoothing=0.1, ignore=-100)
    case("mean_of_three", kd(4.0, 0.5, shares=(1 / 3,) * 3), 5, 10, teachers=3, loss="mean", temperature=4.0, lam=0.5)
    case("sum_of_three", kd(4.0, 0.5, "mean", shares=(1.0,) * 3), 5, 1030, teachers=3,
         loss="dense", temperature=4.0, lam=0.5, reduction="mean")
    case("dkd", dkd(1.0, 1.0, 8.0, 4.0), 5, 10, loss="dkd", w=1.0, alpha=1.0, beta=8.0, temperature=4.0)
    case("dkd_two_classes", dkd(0.5, 2.0, 1.0, 2.0), 4, 2, loss="dkd", w=0.5, alpha=2.0, beta=1.0, temperature=2.0)
    case("standardized", standardized(2.0, 0.9), 5, 10, loss="standardized", temperature=2.0, lam=0.9)
    case("dist", dist(1.0, 2.0, 2.0, 1.0), 5, 10, loss="dist", w=1.0, beta=2.0, gamma=2.0, temperature=1.0)
    case("dist_warm", dist(0.5, 1.0, 3.0, 4.0), 6, 33, loss="dist", w=0.5, beta=1.0, gamma=3.0, temperature=4.0)

    header, data = {"__metadata__": {name: json.dumps(settings) for name, settings in CASES.items()}}, b""
    for name, tensor in TENSORS.items():
        raw = tensor.numpy().tobytes()
        kind = "I64" if tensor.dtype == torch.int64 else "F64"
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(__file__).with_name("golden.safetensors")
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    print(f"{path.name}: {len(CASES)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
