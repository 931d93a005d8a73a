"""Pools and learners of other kinds, for the tests of the loop."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from goodgrain.data.pool import Pool
from goodgrain.learn import Outcome
from goodgrain.learn.learners.backbone import shuffled
from goodgrain.learn.streams import generator, stream_seed


def blobs(n=60, *, classes=3, size=8, channels=1, seed=0):
    """Images whose brightness tells the class, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 90, (n, size, size, channels)) + 50 * labels[:, None, None, None]
    return Pool.from_arrays(images.astype(np.uint8), labels)


def flat(pool, *, zero=False):
    """A linear network on raw pixels."""
    torch.manual_seed(0)
    layer = nn.Linear(int(np.prod(pool.image_shape)), len(pool.classes))
    if zero:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Flatten(), layer)


class PerExample:
    """Learns an offset of every example's logits beside the network, with an optimiser of its own (as SOP+ does)."""

    flip = False

    def config(self):
        return {"learner": "per-example"}

    def prepare(self, pool, run):
        self.device, self.seed = run.device, run.seed
        self.network = flat(pool).to(run.device)
        self.offsets = nn.Embedding(len(pool), len(pool.classes)).to(run.device)
        nn.init.zeros_(self.offsets.weight)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)
        self.offset_optimizer = torch.optim.SGD(self.offsets.parameters(), lr=1.0)

    def saved(self):
        return {
            "network": self.network,
            "offsets": self.offsets,
            "optimizer": self.optimizer,
            "offset_optimizer": self.offset_optimizer,
        }

    def begin_epoch(self, pool, epoch):
        order = generator(self.seed, "order", epoch)
        return [{"train": positions} for positions in shuffled(np.arange(len(pool)), 16, order)]

    def step(self, batch):
        part = batch.parts["train"]
        logits = self.network(part.pixels) + self.offsets(part.positions)
        loss = functional.cross_entropy(logits, part.labels)
        for optimizer in (self.optimizer, self.offset_optimizer):
            optimizer.zero_grad()
        loss.backward()
        for optimizer in (self.optimizer, self.offset_optimizer):
            optimizer.step()
        return Outcome({"loss": loss, "offset": self.offsets.weight.abs().mean()}, part.positions, logits)

    def infer(self, pixels):
        with torch.no_grad():
            return functional.log_softmax(self.network(pixels), dim=1), pixels.flatten(1)


class TwoNetworks:
    """Two networks; before each epoch, each picks the other's examples by small loss (as DivideMix does)."""

    flip = False

    def config(self):
        return {"learner": "two networks"}

    def prepare(self, pool, run):
        self.device, self.seed = run.device, run.seed
        self.networks = nn.ModuleList()
        for name in ("first", "second"):
            torch.manual_seed(stream_seed(run.seed, name))
            self.networks.append(nn.Sequential(nn.Flatten(), nn.Linear(64, len(pool.classes)), nn.Dropout(0.1)))
        self.optimizers = [torch.optim.Adam(network.parameters(), lr=0.01) for network in self.networks]

    def saved(self):
        return {"networks": self.networks, "one": self.optimizers[0], "two": self.optimizers[1]}

    def begin_epoch(self, pool, epoch):
        pixels = torch.from_numpy(pool.images(np.arange(len(pool)))).permute(0, 3, 1, 2).float() / 255
        self.networks.eval()
        draws = []
        for name, judge in zip(("first", "second"), reversed(self.networks), strict=True):
            with torch.no_grad():
                losses = functional.cross_entropy(judge(pixels), torch.from_numpy(pool.labels), reduction="none")
            order = losses.argsort(stable=True).numpy()
            clean, rest = order[: len(order) // 2], order[len(order) // 2 :]
            shuffle = generator(self.seed, name, epoch)
            halves = zip(shuffled(clean, 10, shuffle), shuffled(rest, 10, shuffle), strict=True)
            draws += [{f"{name}.labeled": one, f"{name}.unlabeled": two} for one, two in halves]
        return draws

    def step(self, batch):
        which = 0 if "first.labeled" in batch.parts else 1
        labeled, unlabeled = batch.parts.values()
        self.networks.train()
        logits = self.networks[which](labeled.pixels)
        guessed = self.networks[which](unlabeled.pixels).softmax(dim=1)
        terms = {
            "labeled": functional.cross_entropy(logits, labeled.labels),
            "entropy": -(guessed * guessed.log()).sum(1).mean(),
        }
        loss = terms["labeled"] + 0.1 * terms["entropy"]
        self.optimizers[which].zero_grad()
        loss.backward()
        self.optimizers[which].step()
        return Outcome({"loss": loss, **terms}, labeled.positions, logits)

    def infer(self, pixels):
        self.networks.eval()
        with torch.no_grad():
            both = torch.stack([network(pixels).softmax(dim=1) for network in self.networks]).mean(dim=0)
        return both.log(), pixels.flatten(1)
