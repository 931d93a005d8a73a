"""Learning without labels what an image is, which way up included: its rotations are other images (CSI)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.data.images import Shape
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.learn.learner import Batch, Outcome, Run, Stateful
from goodgrain.learn.learners.contrastive import SimCLR, of_all
from goodgrain.learn.streams import stream_seed
from goodgrain.losses.contrastive import nt_xent

ROTATIONS = 4


def rotated(pixels: Tensor) -> Tensor:
    """Each image four times: as it is, and turned by one, two and three quarters.

    Args:
        pixels: (b, c, s, s).

    Returns:
        (4, b, c, s, s).

    Example:
        >>> rotated(torch.tensor([[[[1, 2], [3, 4]]]]))[1].tolist()
        [[[[2, 4], [1, 3]]]]
    """
    return torch.stack([pixels.rot90(turn, (2, 3)) for turn in range(ROTATIONS)])


class CSI(SimCLR):
    """Contrasting shifted instances (Tack et al. 2020): SimCLR in which an image's rotations are images of their own.

    Every image comes in four rotations with two views of each. The views of one rotation belong together; those of
    the others are as foreign as those of any other image (`goodgrain.losses.nt_xent` over 4b pairs). A linear shift
    head on the features also learns to tell which rotation it sees. `goodgrain.learn.contrast` then asks how far
    images are of the kind of others.

    The original trains a ResNet-18 with LARS for 1,000 epochs, in batches of 32 at a temperature of 0.5. The defaults
    are lighter: the small network and SGD as in `Recipe`.

    Args:
        network: as in `Recipe`.
        shift: weight of the shift head's cross-entropy; the original has 1.
        temperature: of the contrastive loss. In short trainings of small networks 0.2 told kinds apart better than 0.5.
        projection: width of the projection's output.
        lr: as in `Recipe`.
        batch_size: images per step, in all processes together; each comes eight times.
        **recipe: everything else in `Recipe`: momentum, weight_decay, flip and so on.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> import numpy as np
        >>> from goodgrain.learn import fit, predict
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.full(20, -1), classes=["cat", "dog"]), CSI(flip=False)
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> learner.contrast(torch.rand(3, 1, 8, 8))[0].shape
        torch.Size([3, 4, 128])
    """

    image_shape: Shape
    shift_head: nn.Linear

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        shift: float = 1.0,
        temperature: float = 0.2,
        projection: int = 128,
        lr: float = 0.05,
        batch_size: int = 32,
        **recipe: Any,
    ) -> None:
        super().__init__(
            network, temperature=temperature, projection=projection, lr=lr, batch_size=batch_size, **recipe
        )
        if not shift >= 0:
            raise InputError(f"shift should be 0 or more; {shift=} came.")
        self._shift = shift

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        return {**super().config(), "learner": "csi", "shift": self._shift}

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build network, projection, shift head and optimiser afresh; the network starts as `Standard`'s would.

        Raises:
            InputError: fewer than two images, or images that are not square.
        """
        height, width, _ = pool.image_shape
        if height != width:
            raise InputError(
                f"CSI turns images by quarters, so they should be square; these are {height} x {width}. "
                f"Read them with image_size={(min(height, width),) * 2}."
            )
        super().prepare(pool, run)
        self.image_shape = pool.image_shape
        width = next(self.projection.parameters()).shape[1]  # of the features
        self.shift_head = nn.Linear(width, ROTATIONS).to(run.device)
        self.backbone.optimizer.add_param_group({"params": list(self.shift_head.parameters())})

    def saved(self) -> Mapping[str, Stateful]:
        """What SimCLR saves, and the shift head."""
        return {**super().saved(), "shift_head": self.shift_head}

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD on two views of each rotation of each image."""
        pixels = batch.parts["train"].pixels
        views = torch.cat([self._rotations(pixels, stream_seed(batch.seed, name)) for name in ("first", "second")])
        _, features = self.backbone.forward(views)  # (2 * 4b, d)
        first, second = (of_all(rows, self._engine) for rows in self.projection(features).chunk(2))
        contrast = nt_xent(first, second, temperature=self._temperature)
        turns = torch.arange(ROTATIONS, device=pixels.device).repeat_interleave(len(pixels)).repeat(2)
        shift = functional.cross_entropy(self.shift_head(features), turns)
        loss = contrast + self._shift * shift
        self.backbone.descend(contrast * self._engine.processes + self._shift * shift, batch.progress)
        terms = {"loss": loss, "contrast": contrast, "shift": shift}
        return Outcome({name: term.detach() for name, term in terms.items()})

    def _rotations(self, pixels: Tensor, seed: int) -> Tensor:
        """(4b, c, s, s): another view of each rotation.

        Turned after the view, which may swap left and right: the other way round, a quarter to the left of one image
        and a quarter to the right of another would look alike.
        """
        views = self._view(pixels.repeat(ROTATIONS, 1, 1, 1), seed).chunk(ROTATIONS)
        return torch.cat([view.rot90(turn, (2, 3)) for turn, view in enumerate(views)])

    def contrast(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """What is made of each rotation of images as they are, without gradient.

        Args:
            pixels: (b, c, s, s) in [0, 1].

        Returns:
            projections (b, 4, e), and (b, 4) the shift head's logit of each rotation for the image under it.
        """
        _, features = self.backbone.infer(rotated(pixels).flatten(0, 1))  # (4b, d)
        with torch.no_grad():
            projections = self.projection(features).unflatten(0, (ROTATIONS, -1))  # (4, b, e)
            logits = self.shift_head(features).unflatten(0, (ROTATIONS, -1))  # (4, b, 4)
        return projections.transpose(0, 1), logits.diagonal(dim1=0, dim2=2)
