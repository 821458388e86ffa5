"""Repeats in PyTorch the training that the bench `curves` did, and compares the losses step by step: see `ci/bench`.

    curves.py FOLDER [--threads N]

FOLDER holds what `curves` wrote. Here stands the same network in plain PyTorch, which takes the same first weights by name,
the same batches and the same learning rates; loss and optimiser are PyTorch's own as far as it has them. The end is status 1
where a loss of the first 20 steps differs by more than a thousandth of itself. Later ones drift apart: two correct sums in
float32 differ in the last digit, and training multiplies the difference.
"""

import argparse
import csv
import json
import math
import os
import struct
import sys
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional as F

IGNORED = 255
"""The label that counts in no loss."""

COMPARED_STEPS = 20

ALLOWED = 1e-3
"""Of the loss, not of 1: the cross entropy falls to a tenth in a run, and its size depends on the number of classes."""

LAST_STEPS = 30
"""Steps that the end of a curve is the mean of."""


def read_tensors(path):
    """The tensors of a safetensors file by name."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    types = {"F32": numpy.float32, "U8": numpy.uint8}
    tensors = {}
    for name, facts in header.items():
        start, end = (8 + length + offset for offset in facts["data_offsets"])
        values = numpy.frombuffer(data[start:end], types[facts["dtype"]])
        tensors[name] = torch.from_numpy(values.reshape(facts["shape"]).copy())
    return tensors


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, activation. `tensorflow` pads as TensorFlow's "same" does, which at stride 2
    leaves out the zero above and on the left, and has the encoder's epsilon."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, activation=None, tensorflow=False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3 if tensorflow else 1e-5, momentum=0.1)
        self.activation = activation or nn.Identity()
        zeros = kernel - stride if tensorflow else kernel - 1
        self.padding = [zeros // 2, zeros - zeros // 2] * 2

    def forward(self, x):
        x = F.pad(x, self.padding) if any(self.padding) else x
        return self.activation(self.norm(self.conv(x)))


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project; plus the input where the shapes agree."""

    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self.expand = ConvNorm(inputs, inner, activation=nn.ReLU6(), tensorflow=True)
        self.depthwise = ConvNorm(inner, inner, kernel, stride, inner, nn.ReLU6(), tensorflow=True)
        self.project = ConvNorm(inner, outputs, tensorflow=True)
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.expand(x) if hasattr(self, "expand") else x
        y = self.project(self.depthwise(y))
        return x + y if self.adds_input else y


class Stage(nn.Module):
    """The blocks of one stage."""

    def __init__(self, inputs, expansion, kernel, stride, outputs, repeats):
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                InvertedResidual(inputs if at == 0 else outputs, outputs, kernel, stride if at == 0 else 1, expansion)
                for at in range(repeats)
            )
        )

    def forward(self, x):
        return self.blocks(x)


class EfficientNetLite0(nn.Module):
    """Without its head; returns the maps of the strides 2, 4, 8, 16 and 32."""

    channels = [16, 24, 40, 112, 320]
    # Expansion, kernel, stride, channels, repeats.
    stages_of = [
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ]
    returned = [0, 1, 2, 4, 6]

    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2, activation=nn.ReLU6(), tensorflow=True)
        inputs = [32] + [stage[3] for stage in self.stages_of]
        self.stages = nn.ModuleList(Stage(inputs[at], *stage) for at, stage in enumerate(self.stages_of))

    def forward(self, x):
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [maps[at] for at in self.returned]


class DecoderStage(nn.Module):
    """Reduces the channels, doubles the size, appends the skip, convolves."""

    def __init__(self, inputs, skip, outputs, convolutions):
        super().__init__()
        self.reduce = ConvNorm(inputs, outputs, activation=nn.ReLU())
        self.row = nn.Sequential(
            *(
                ConvNorm(outputs + skip if at == 0 else outputs, outputs, 3, activation=nn.ReLU())
                for at in range(convolutions)
            )
        )

    def forward(self, x, skip):
        x = F.interpolate(self.reduce(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.row(x if skip is None else torch.cat([x, skip], 1))


class UNet(nn.Module):
    """An encoder and a decoder with one stage for each of the channels given, deepest first."""

    def __init__(self, decoder_channels, convolutions, classes):
        super().__init__()
        self.encoder = EfficientNetLite0()
        *skips, inputs = self.encoder.channels
        skips = skips[::-1] + [0] * len(decoder_channels)
        self.decoder = nn.ModuleList()
        for skip, outputs in zip(skips, decoder_channels):
            self.decoder.append(DecoderStage(inputs, skip, outputs, convolutions))
            inputs = outputs
        self.classifier = nn.Conv2d(inputs, classes, 1)

    def forward(self, x):
        *skips, x = self.encoder(x)
        for stage in self.decoder:
            x = stage(x, skips.pop() if skips else None)
        return self.classifier(x)


def load_weights(net, tensors):
    """Puts all of the tensors into the network, and fails where one is left over or missing."""
    names = {"gamma": "weight", "beta": "bias", "running_variance": "running_var"}
    renamed = {}
    for name, tensor in tensors.items():
        head, _, last = name.rpartition(".")
        renamed[f"{head}.{names.get(last, last)}"] = tensor
    # PyTorch's own counter of batches, which a fixed momentum never reads.
    counters = {name: value for name, value in net.state_dict().items() if name.endswith("num_batches_tracked")}
    net.load_state_dict(renamed | counters, strict=True)


class Loss:
    """The weighted sum of `ce`, `miou` and `wmiou`."""

    def __init__(self, facts, classes, label_sets):
        self.terms, self.smooth, self.classes = facts["terms"], facts["smooth"], classes
        self.class_weights = torch.tensor(facts["class_weights"] or [1.0] * classes)
        self.background_weight = facts["background_weight"]
        # What each label may be: its class, or one of a set of them.
        self.allowed = torch.eye(classes + len(label_sets), classes)
        for label, members in enumerate(label_sets, classes):
            self.allowed[label, members] = 1.0

    def __call__(self, logits, labels):
        """The sum, and each term."""
        values = {"ce": self.cross_entropy, "miou": self.mean_iou, "wmiou": self.weighted_mean_iou}
        terms = [values[name](logits, labels) for name, _ in self.terms]
        return sum(weight * value for (_, weight), value in zip(self.terms, terms)), terms

    def cross_entropy(self, logits, labels):
        """The mean over the pixels that count, weighted by class."""
        if len(self.allowed) == self.classes:
            return F.cross_entropy(logits, labels, self.class_weights, ignore_index=IGNORED)
        counted = labels != IGNORED
        allowed = self.allowed[labels[counted]]
        logs = logits.log_softmax(1).permute(0, 2, 3, 1)[counted]
        weights = (allowed * self.class_weights).sum(1) / allowed.sum(1)
        costs = -logs.masked_fill(allowed == 0, -torch.inf).logsumexp(1)
        return (weights * costs).sum() / weights.sum()

    def weighted_mean_iou(self, logits, labels):
        weights = self.class_weights.clone()
        weights[0] *= self.background_weight
        return self.mean_iou(logits, labels, weights)

    def mean_iou(self, logits, labels, weights=None):
        """1 - the mean over all images and the classes that each of them shows of (I + s) / (U + s), weighted by class. A
        pixel of a set of classes is a false alarm of every class outside of it, and nothing to those in it."""
        weights = self.class_weights if weights is None else weights
        counted = labels != IGNORED
        allowed = self.allowed[labels.where(counted, 0)].permute(0, 3, 1, 2) * counted.unsqueeze(1)
        certain = allowed * (labels < self.classes).unsqueeze(1)
        probabilities = logits.softmax(1) * counted.unsqueeze(1) * (1 - (allowed - certain))
        intersection = (probabilities * certain).sum((2, 3))
        truth = certain.sum((2, 3))
        union = probabilities.sum((2, 3)) + truth - intersection
        weights = weights * (truth > 0)
        return (weights * (1 - (intersection + self.smooth) / (union + self.smooth))).sum() / weights.sum()


def adamw(net, run):
    """AdamW that lets the weights of one axis, norms and biases, decay no further."""
    groups = {}
    for name, parameter in net.named_parameters():
        groups.setdefault((name.startswith("encoder."), parameter.dim() > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": run["weight_decay"] if is_kernel else 0.0,
                "factor": run["encoder_learning_rate_factor"] if in_encoder else 1.0,
            }
            for (in_encoder, is_kernel), parameters in groups.items()
        ],
        lr=0.0,
        betas=tuple(run["betas"]),
        eps=1e-8,
    )


def train(net, run, photos, loss):
    """Trains, and yields a row of numbers after each step: loss, terms, gradient's norm."""
    optimizer = adamw(net, run)
    pictures, labels = photos["pictures"], photos["labels"].long()
    net.train()
    for step in run["steps"]:
        for group in optimizer.param_groups:
            group["lr"] = step["learning_rate"] * group["factor"]
        optimizer.zero_grad(set_to_none=True)
        value, terms = loss(net(pictures[step["photos"]]), labels[step["photos"]])
        value.backward()
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in net.parameters()])
        optimizer.step()
        yield [number.item() for number in [value, *terms, norm]]


@torch.no_grad()
def predict(net, pictures):
    net.eval()
    return torch.cat([net(part).argmax(1) for part in pictures.split(4)])


def mean_garment_iou(predicted, labels, run):
    """The mean over the garments that are shown of the intersection over union, summed over all photos."""
    certain = labels < run["classes"]
    scores = []
    for garment in range(1, run["garments"] + 1):
        truth, found = (labels == garment) & certain, (predicted == garment) & certain
        if truth.any():
            scores.append(((truth & found).sum() / (truth | found).sum()).item())
    return sum(scores) / len(scores)


def compare(ours, theirs, names):
    """Prints some of the steps side by side as they come. Returns PyTorch's rows and the largest difference of the first
    losses, relative."""
    print("| step | " + " | ".join(f"{name}: clothseg | PyTorch" for name in names) + " | loss differs by |")
    print("| ---: " * (2 * len(names) + 2) + "|", flush=True)
    rows, largest = [], 0.0
    for row, other in zip(ours, theirs, strict=True):
        rows.append(other)
        difference = abs(row[0] - other[0]) / abs(other[0])
        if not math.isfinite(difference):
            difference = math.inf
        if len(rows) <= COMPARED_STEPS:
            largest = max(largest, difference)
        if len(rows) <= COMPARED_STEPS or len(rows) % 50 == 0:
            cells = " | ".join(f"{value:.6f} | {value_there:.6f}" for value, value_there in zip(row, other))
            print(f"| {len(rows)} | {cells} | {difference:.1e} |", flush=True)
    return rows, largest


def main():
    arguments = argparse.ArgumentParser(description="Repeats a training in PyTorch and compares the losses.")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    arguments = arguments.parse_args()
    folder = arguments.folder

    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    run = json.loads((folder / "run.json").read_text())
    photos = read_tensors(folder / "photos.safetensors")
    net = UNet(run["decoder_channels"], run["decoder_convolutions"], run["classes"])
    load_weights(net, read_tensors(folder / "weights.safetensors"))
    with open(folder / "losses.csv", newline="") as file:
        header, *rows = csv.reader(file)
    ours = [[float(number) for number in row[1:]] for row in rows]

    loss = Loss(run["loss"], run["classes"], run["label_sets"])
    theirs, largest = compare(ours, train(net, run, photos, loss), header[1:])
    ends = [sum(row[0] for row in rows[-LAST_STEPS:]) / len(rows[-LAST_STEPS:]) for rows in (ours, theirs)]
    labels = photos["labels"].long()
    classes = [read_tensors(folder / "predictions.safetensors")["classes"].long(), predict(net, photos["pictures"])]
    scores = [100 * mean_garment_iou(predicted, labels, run) for predicted in classes]
    same = 100 * (classes[0] == classes[1]).float().mean().item()
    print()
    print(f"mean loss of the last {LAST_STEPS} of {len(ours)} steps: {ends[0]:.4f} in clothseg, {ends[1]:.4f} in PyTorch")
    print(f"mean garment IoU on the photos trained on: {scores[0]:.1f} % and {scores[1]:.1f} %; same class: {same:.1f} %")
    verdict = "agree" if largest <= ALLOWED else "DIFFER"
    print(f"the first {COMPARED_STEPS} losses {verdict}: by at most {largest:.1e} of the loss, {ALLOWED:g} is allowed")
    sys.exit(0 if largest <= ALLOWED else 1)


if __name__ == "__main__":
    main()
