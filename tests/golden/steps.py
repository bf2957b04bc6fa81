"""Writes `steps.safetensors` beside this script: 200 steps of training by every optimiser and schedule.

    pip install torch torchvision pillow numpy safetensors
    python steps.py

The network is LeNet, which has no decision that rounding could take otherwise, so that runs stay together
for as long as arithmetic lets them. Numbers are computed in float64; how far PyTorch's own float32 is from
them after all steps is in the metadata and printed.
"""

import math

import torch
import torch.nn.functional as F

from generate import images, net, sample, save

STEPS, STEPS_PER_EPOCH, IMAGES, BATCH, SAMPLES = 200, 20, 4, 2, 256
SGD = dict(lr=2**-3, momentum=0.875)
ADAMW = dict(lr=2**-9, weight_decay=2**-3)
# A score an epoch, which stops rising.
SCORES = [0.5, 0.6, 0.6, 0.6, 0.7, 0.7, 0.6, 0.7, 0.6, 0.5]


def schedules(optimizer):
    """PyTorch's schedules, and whether each moves at an epoch's end instead of a step's."""
    lr = torch.optim.lr_scheduler
    step = lambda: lr.StepLR(optimizer, step_size=3, gamma=0.5)

    def warm_up(steps, then):
        rise = lr.LinearLR(optimizer, start_factor=1 / steps, total_iters=steps - 1)
        return lr.SequentialLR(optimizer, [rise, then], milestones=[steps])

    return {
        "constant": (lambda: lr.ConstantLR(optimizer, factor=1.0), False),
        "step": (step, True),
        "plateau": (
            # Ours counts epochs without a better score, PyTorch's what comes after its patience.
            lambda: lr.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=1, threshold=0.0),
            True,
        ),
        "cosine": (lambda: lr.CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=2**-8), False),
        "one_cycle": (
            lambda: lr.OneCycleLR(
                optimizer, max_lr=SGD["lr"], total_steps=STEPS, pct_start=0.3, cycle_momentum=False
            ),
            False,
        ),
        "warm_up": (lambda: warm_up(30, lr.ConstantLR(optimizer, factor=1.0)), False),
        "warm_up_cosine": (
            lambda: warm_up(30, lr.CosineAnnealingLR(optimizer, T_max=STEPS - 30, eta_min=0.0)),
            False,
        ),
    }


# Of each run, the optimiser with its settings, whether vectors decay, too, and the schedule.
RUNS = {
    "sgd": ("SGD", dict(lr=2**-2), True, "constant"),
    "momentum": ("SGD", SGD, True, "constant"),
    "nesterov": ("SGD", SGD | dict(nesterov=True), True, "constant"),
    "weight_decay": ("SGD", SGD | dict(weight_decay=2**-8), True, "constant"),
    "weights_decay": ("SGD", SGD | dict(weight_decay=2**-8), False, "constant"),
    "adamw": ("AdamW", ADAMW | dict(weight_decay=0.0), True, "constant"),
    "adamw_decay": ("AdamW", ADAMW, True, "constant"),
    "adamw_weights_decay": ("AdamW", ADAMW, False, "constant"),
    "adamw_betas": ("AdamW", ADAMW | dict(betas=(0.75, 0.96875), eps=2**-10), True, "constant"),
    "adamw_cosine": ("AdamW", ADAMW, True, "warm_up_cosine"),
    **{
        name: ("SGD", SGD, True, name)
        for name in ["step", "plateau", "cosine", "one_cycle", "warm_up", "warm_up_cosine"]
    },
}


def run(name, dtype):
    """Rates, losses, and weights after all steps."""
    kind, settings, vectors_decay, schedule = RUNS[name]
    x = images(IMAGES, (1, 28, 28), 1.0).to(dtype)
    labels = torch.arange(3, 3 + IMAGES)
    model = net("lenet", "", 1.0, (1, 28, 28), 28, 0, 10).to(dtype)
    parameters = list(model.parameters())
    groups = [{"params": [p for p in parameters if p.dim() > 1 or vectors_decay]}]
    if not vectors_decay:
        groups.append({"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0})
    optimizer = getattr(torch.optim, kind)(groups, **settings)
    make, per_epoch = schedules(optimizer)[schedule]
    scheduler = make()
    rates, losses = [], []
    for step in range(STEPS):
        first = step * BATCH % IMAGES
        batch = slice(first, first + BATCH)
        loss = F.cross_entropy(model(x[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        losses.append(loss.item())
        epoch, rest = divmod(step + 1, STEPS_PER_EPOCH)
        if not per_epoch:
            scheduler.step()
        elif rest == 0:
            scheduler.step(*([SCORES[epoch - 1]] if schedule == "plateau" else []))
    results = {"rates": torch.tensor(rates).double(), "losses": torch.tensor(losses).double()}
    finals = {
        f"final.{key}": sample(p.detach(), SAMPLES).double() for key, p in model.named_parameters()
    }
    return results | finals


def main():
    tensors, strays = {}, {}
    for name in RUNS:
        exact, rounded = run(name, torch.float64), run(name, torch.float32)
        stray = lambda key: ((rounded[key] - exact[key]).abs().max() / exact[key].abs().max()).item()
        finals = [stray(key) for key in exact if key.startswith("final")]
        strays[name] = {"losses": stray("losses"), "weights": max(finals)}
        tensors |= {f"{name}.{key}": value for key, value in exact.items()}
        assert all(math.isfinite(loss) for loss in exact["losses"])
        first, last = exact["losses"][0], exact["losses"][-1]
        told = {key: f"{value:.1e}" for key, value in strays[name].items()}
        print(f"  {name}: {first:.4f} to {last:.4f}; float32 strays by", told)
    save("steps", tensors, float32_strays=strays)


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    main()
