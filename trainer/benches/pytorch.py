"""Worker for compare.py: trains one of the benchmark's networks with PyTorch on the CPU.

    pytorch.py NET [--layout contiguous|channels_last] [--bfloat16] [--loss ce|ce+miou] [--threads N]

It builds the network and one fixed random batch, trains two steps to warm up and prints

    ready NAME parameters=COUNT batch=B

Then, for each line with a number N on standard input, it trains N steps and prints the seconds they took. A step is
forward pass, loss, backward pass and Adam's update. The worker ends with its standard input. With --bfloat16 the network runs
under autocast to bfloat16; weights, loss and optimiser stay in float32.

The networks are those that the trainer's benchmark `step` trains under the same names.
"""

import argparse
import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

IGNORED = 255
"""The label that counts in no loss."""

BLOCK = 16
"""Side, in pixels, of the squares of one class that the labels are made of."""


def conv(inputs, outputs, kernel=1, stride=1, dilation=1, groups=1, activation=nn.ReLU):
    """Convolution without bias that keeps the size (over the stride), batch norm, activation (None: none)."""
    layers = [
        nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=kernel // 2 * dilation,
            dilation=dilation,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1),
    ]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    """EfficientNet-Lite's block: expand, depthwise convolution, project; plus the input where the shapes agree."""

    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        inner = inputs * expansion
        layers = [] if expansion == 1 else [conv(inputs, inner, activation=nn.ReLU6)]
        layers.append(conv(inner, inner, kernel, stride, groups=inner, activation=nn.ReLU6))
        layers.append(conv(inner, outputs, activation=None))
        self.layers = nn.Sequential(*layers)
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.adds_input else y


# Expansion, kernel, stride, channels, repeats; one row of tuples for each map that is returned.
LITE0 = [
    [(1, 3, 1, 16, 1)],
    [(6, 3, 2, 24, 2)],
    [(6, 5, 2, 40, 2)],
    [(6, 3, 2, 80, 3), (6, 5, 1, 112, 3)],
    [(6, 5, 2, 192, 4), (6, 3, 1, 320, 1)],
]
LITE2 = [
    [(1, 3, 1, 16, 1)],
    [(6, 3, 2, 24, 3)],
    [(6, 5, 2, 48, 3)],
    [(6, 3, 2, 88, 4), (6, 5, 1, 120, 4)],
    [(6, 5, 2, 208, 5), (6, 3, 1, 352, 1)],
]


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 or -Lite2 as encoder, without its head; returns the maps of the strides 2, 4, 8, 16 and 32.

    The trainer's has TensorFlow's padding at stride 2, which PyTorch's convolutions do not know: the same arithmetic, one
    cell further on. Here it is symmetric, so that PyTorch does not pay for a pad of its own.
    """

    def __init__(self, rows):
        super().__init__()
        self.channels = [row[-1][3] for row in rows]
        self.stem = conv(3, 32, 3, 2, activation=nn.ReLU6)
        self.maps = nn.ModuleList()
        inputs = 32
        for stages in rows:
            blocks = []
            for expansion, kernel, stride, outputs, repeats in stages:
                for repeat in range(repeats):
                    blocks.append(InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
                    inputs = outputs
            self.maps.append(nn.Sequential(*blocks))

    def forward(self, x):
        x = self.stem(x)
        maps = []
        for blocks in self.maps:
            x = blocks(x)
            maps.append(x)
        return maps


class Vgg16(nn.Module):
    """VGG16's convolutions with batch norm, a quarter as wide; returns the maps of the strides 1, 2, 4, 8 and 16."""

    channels = [16, 32, 64, 128, 128]
    depths = [2, 2, 3, 3, 3]

    def __init__(self):
        super().__init__()
        self.maps = nn.ModuleList()
        inputs = 3
        for outputs, depth in zip(self.channels, self.depths):
            layers = []
            for _ in range(depth):
                layers.append(conv(inputs, outputs, 3))
                inputs = outputs
            self.maps.append(nn.Sequential(*layers))

    def forward(self, x):
        maps = []
        for block in self.maps:
            x = block(F.max_pool2d(maps[-1], 2) if maps else x)
            maps.append(x)
        return maps


class DecoderStage(nn.Module):
    """Reduces the channels, doubles the size, appends the skip (0 channels: there is none), convolves twice."""

    def __init__(self, inputs, skip, outputs):
        super().__init__()
        self.reduce = conv(inputs, outputs)
        self.convs = nn.Sequential(conv(outputs + skip, outputs, 3), conv(outputs, outputs, 3))

    def forward(self, x, skip):
        x = F.interpolate(self.reduce(x), scale_factor=2, mode="nearest")
        return self.convs(x if skip is None else torch.cat([x, skip], 1))


class UNet(nn.Module):
    """An encoder, and a decoder with one stage for each of the channels given, deepest first, to the full size."""

    def __init__(self, encoder, decoder_channels, classes):
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(0.3)
        *skips, inputs = encoder.channels
        skips = skips[::-1] + [0] * (len(decoder_channels) - len(skips))
        self.decoder = nn.ModuleList()
        for skip, outputs in zip(skips, decoder_channels):
            self.decoder.append(DecoderStage(inputs, skip, outputs))
            inputs = outputs
        self.classifier = nn.Conv2d(inputs, classes, 1)

    def forward(self, x):
        *skips, x = self.encoder(x)
        x = self.dropout(x)
        for stage in self.decoder:
            x = stage(x, skips.pop() if skips else None)
        return self.classifier(x)


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions; the stride is on the 3x3."""

    def __init__(self, inputs, middle, outputs, stride, dilation, projects):
        super().__init__()
        self.layers = nn.Sequential(
            conv(inputs, middle),
            conv(middle, middle, 3, stride, dilation),
            conv(middle, outputs, activation=None),
        )
        self.shortcut = conv(inputs, outputs, stride=stride, activation=None) if projects else nn.Identity()

    def forward(self, x):
        return F.relu(self.layers(x) + self.shortcut(x), inplace=True)


class AtrousPyramid(nn.Module):
    """DeepLab's spatial pyramid: five views of one map, from one pixel to the whole image, side by side."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.views = nn.ModuleList([conv(inputs, outputs)])
        self.views.extend(conv(inputs, outputs, 3, dilation=dilation) for dilation in (6, 12, 18))
        self.image = conv(inputs, outputs)
        self.merge = conv(5 * outputs, outputs)

    def forward(self, x):
        views = [view(x) for view in self.views]
        image = self.image(x.mean((2, 3), keepdim=True))
        return self.merge(torch.cat([*views, image.expand_as(views[0])], 1))


class DeepLab(nn.Module):
    """DeepLabV3+ on a ResNet-50 of output stride 16 turned to dilation in its last layer, all a quarter as wide."""

    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.layers = nn.ModuleList()
        inputs = 16
        # Blocks, channels inside and outside the block, stride of the first block, dilation.
        for blocks, middle, outputs, stride, dilation in [
            (3, 16, 64, 1, 1),
            (4, 32, 128, 2, 1),
            (6, 64, 256, 2, 1),
            (3, 128, 512, 1, 2),
        ]:
            layer = []
            for block in range(blocks):
                layer.append(Bottleneck(inputs, middle, outputs, stride if block == 0 else 1, dilation, block == 0))
                inputs = outputs
            self.layers.append(nn.Sequential(*layer))
        self.pyramid = AtrousPyramid(512, 64)
        self.detail = conv(64, 12)
        self.head = nn.Sequential(conv(64 + 12, 64, 3), conv(64, 64, 3), nn.Conv2d(64, classes, 1))

    @staticmethod
    def enlarge(x):
        return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)

    def forward(self, x):
        x = first = self.layers[0](self.stem(x))
        for layer in self.layers[1:]:
            x = layer(x)
        x = torch.cat([self.enlarge(self.pyramid(x)), self.detail(first)], 1)
        return self.enlarge(self.head(x))


LIGHT_DECODER = [128, 64, 48, 32, 16]

# Name: builder, classes, side of the square images in pixels, images in a batch.
NETS = {
    "unet-lite0": (lambda classes: UNet(EfficientNetLite(LITE0), LIGHT_DECODER, classes), 47, 256, 8),
    "unet-lite2": (lambda classes: UNet(EfficientNetLite(LITE2), LIGHT_DECODER, classes), 47, 256, 8),
    "unet-vgg16-light": (lambda classes: UNet(Vgg16(), [128, 64, 32, 16], classes), 17, 128, 4),
    "deeplab-resnet50": (DeepLab, 47, 256, 8),
}


def random_batch(classes, side, batch):
    """Images [batch, 3, side, side] of normal noise and labels [batch, side, side] of random squares; none ignored."""
    images = torch.randn(batch, 3, side, side)
    blocks = torch.randint(classes, (batch, side // BLOCK, side // BLOCK))
    return images, blocks.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)


def log_probabilities(logits):
    """Logarithms of the probabilities, and the dimension of their classes: [images, classes, pixels] and 1 or, from
    logits in channels_last, [images, pixels, classes] and 2.

    Each layout has the order in which it need not be copied: the other one takes two to three times as long.
    """
    if logits.is_contiguous(memory_format=torch.channels_last):
        return logits.permute(0, 2, 3, 1).flatten(1, 2).log_softmax(2), 2
    return logits.flatten(2).log_softmax(1), 1


def cross_entropy(logs, dimension, labels):
    """F.cross_entropy of the logits that the logarithms came from: the mean over the pixels that are not ignored."""
    if dimension == 2:
        logs, labels = logs.flatten(0, 1), labels.flatten()
    return F.nll_loss(logs, labels, ignore_index=IGNORED)


def miou_loss(logs, dimension, labels):
    """1 - the mean over image and class of (I + 1) / (U + 1), with I and U summed from probabilities.

    Gathers and scatters along the labels, which takes half the time of products with one-hot labels. The benchmark's
    labels hold no ignored pixel, so that none is left out here.
    """
    probabilities = logs.exp()
    hits = probabilities.gather(dimension, labels.unsqueeze(dimension)).squeeze(dimension)
    zeros = probabilities.new_zeros(len(logs), logs.shape[dimension])
    intersection = zeros.scatter_add(1, labels, hits)
    truth = zeros.scatter_add(1, labels, torch.ones_like(hits))
    union = probabilities.sum(3 - dimension) + truth - intersection
    return 1 - ((intersection + 1) / (union + 1)).mean()


LOSSES = {"ce": [cross_entropy], "ce+miou": [cross_entropy, miou_loss]}


def loss_of(terms, logits, labels):
    """The sum of the terms, which share the probabilities."""
    logs, dimension = log_probabilities(logits)
    return sum(term(logs, dimension, labels.flatten(1)) for term in terms)


def adam(parameters):
    """The fused Adam where PyTorch has it for CPUs, else the one over lists of tensors."""
    parameters = list(parameters)
    try:
        return torch.optim.Adam(parameters, lr=1e-3, fused=True)
    except RuntimeError:
        return torch.optim.Adam(parameters, lr=1e-3, foreach=True)


def main():
    arguments = argparse.ArgumentParser(description="Trains a network with PyTorch; a worker for compare.py.")
    arguments.add_argument("net", choices=NETS)
    arguments.add_argument("--bfloat16", action="store_true")
    arguments.add_argument("--layout", choices=["contiguous", "channels_last"], default="contiguous")
    arguments.add_argument("--loss", choices=LOSSES, default="ce")
    arguments.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    arguments = arguments.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    layout = torch.channels_last if arguments.layout == "channels_last" else torch.contiguous_format
    build, classes, side, batch = NETS[arguments.net]
    net = build(classes).to(memory_format=layout).train()
    images, labels = random_batch(classes, side, batch)
    images = images.contiguous(memory_format=layout)
    terms = LOSSES[arguments.loss]
    optimizer = adam(net.parameters())

    def seconds_of(steps):
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
                logits = net(images)
            loss_of(terms, logits.float(), labels).backward()
            optimizer.step()
        return time.perf_counter() - start

    seconds_of(2)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    print(f"ready {arguments.net} parameters={parameters} batch={batch}", flush=True)
    for line in sys.stdin:
        print(seconds_of(int(line)), flush=True)


if __name__ == "__main__":
    main()
