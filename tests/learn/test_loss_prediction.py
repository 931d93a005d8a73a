import numpy as np
import pytest
import torch
from tests.learn.toys import blobs
from torch import nn
from torch.nn import functional

from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.learn import LossPrediction, Standard, fit, predict, predicted_losses
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Batch, Part, Run
from goodgrain.learn.learners import loss_prediction as module
from goodgrain.learn.learners.calibration import Calibration
from goodgrain.losses.ranking import loss_prediction
from oracles_loss_prediction import rank_correlation
from recipes.toys import vit


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip


class Logits(nn.Module):
    """A vision transformer of transformers, as a network that returns logits."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = vit()

    def forward(self, images):
        return self.model(images).logits


def mixed(n, seed):
    """Two thirds are bright above or below, which is their label; a third has stripes and a label by chance."""
    rng = np.random.default_rng(seed)
    clear, labels = np.arange(n) % 3 != 0, rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 8, 8))
    images[clear & (labels == 0), :4] += 150
    images[clear & (labels == 1), 4:] += 150
    images[~clear, :, ::2] += 150
    return Pool.from_arrays(images.astype(np.uint8), labels), clear


def with_ood(pool, n=10):
    labels = pool.labels.copy()
    labels[:n] = OOD
    return pool.with_labels(labels)


def bits(part):
    return {name: value.numpy().tobytes() for name, value in part.state_dict().items()}


def fitted(learner, pool, epochs=2, **options):
    return learner, fit(learner, pool, epochs=epochs, seed=3, device="cpu", **options)


def stepped(learner, progress):
    """One step on six images, and the images."""
    pool = blobs(12, classes=2)
    learner.prepare(pool, Run(seed=3, epochs=2, engine=Engine("cpu")))
    rows = np.array([7, 2, 9, 4, 0, 1])
    part = Part(torch.from_numpy(rows), to_pixels(pool.images(rows)), torch.from_numpy(pool.labels[rows]))
    before = bits(learner.predictor) if isinstance(learner, LossPrediction) else {}
    return part, before, learner.step(Batch({"train": part}, progress, 11))


@pytest.mark.parametrize("options", [{"weight": 0.0}, {"cut": 0.0}], ids=["weight 0", "cut from the start"])
@pytest.mark.parametrize("ood", [{}, {"ood": Calibration(method="taufe", weight=0.1)}], ids=["plain", "taufe"])
def test_where_it_teaches_nothing_the_network_is_that_of_standard_training_to_the_bit(options, ood):
    pool = with_ood(blobs())
    plain, expected = fitted(Standard(**ood), pool)
    learner, history = fitted(LossPrediction(**options, **ood), pool)
    assert bits(learner.network) == bits(plain.network)
    assert history.margin.tobytes() == expected.margin.tobytes()
    assert history.terms["cross_entropy"].tolist() == expected.terms.get("cross_entropy", expected.loss).tolist()


def test_otherwise_it_is_another_network():
    pool = blobs()
    assert bits(fitted(LossPrediction(), pool)[0].network) != bits(fitted(Standard(), pool)[0].network)


def test_the_gradient_by_hand():
    """Mean cross-entropy plus weight times the pairwise hinge on the per-example cross-entropies, which are given."""
    options = {"augment": False, "lr": 0.0, "weight": 0.5}  # a rate of 0 leaves the weights there to compute with
    learner = LossPrediction(cnn(), **options)
    part, _, outcome = stepped(learner, 0.6)
    with learner.predictor.watching(learner.network) as means:
        logits, _ = learner.network(learner.normalize(part.pixels))
    each = functional.cross_entropy(logits, part.labels, reduction="none")
    ranking = loss_prediction(learner.predictor(means), each.detach(), margin=1.0)
    loss = each.mean() + 0.5 * ranking
    weights = [*learner.network.parameters(), *learner.predictor.parameters()]
    for weight, expected in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(weight.grad, expected)
    terms = {"loss": loss, "cross_entropy": each.mean(), "loss_prediction": ranking}
    assert {name: term.item() for name, term in outcome.terms.items()} == pytest.approx(
        {name: term.item() for name, term in terms.items()}
    )


@pytest.mark.parametrize(("progress", "cut", "reaches"), [(0.6, 0.6, True), (0.61, 0.6, False), (0.61, 0.7, True)])
def test_the_gradient_is_cut_after_its_time(progress, cut, reaches):
    plain, learner = Standard("small", momentum=0.0), LossPrediction("small", momentum=0.0, cut=cut)
    stepped(plain, progress)
    _, before, _ = stepped(learner, progress)
    assert (bits(learner.network) == bits(plain.network)) is not reaches
    after = bits(learner.predictor)
    assert all(after[name] != before[name] for name in after if name != "last.bias")  # no matter in a difference


def test_the_order_of_losses_is_learned():
    pool, _ = mixed(150, 0)
    held_out, clear = mixed(150, 1)
    learner = LossPrediction(flip=False)
    fit(learner, pool, epochs=8, seed=0, device="cpu")
    guessed = predicted_losses(learner, held_out)
    losses = -np.log(predict(learner, held_out)[0][np.arange(150), held_out.labels])
    assert rank_correlation(guessed, losses) > 0.6
    assert np.median(guessed[~clear]) > guessed[clear].max()


@pytest.mark.parametrize(
    ("network", "size", "widths"),
    [("small", 8, [16, 64, 96]), ("resnet18", 8, [64, 128, 256, 512]), (cnn(), 8, [8, 16]), (Logits(), 12, [16, 16])],
    ids=["small", "resnet18", "cnn", "vit"],
)
def test_any_network(network, size, widths):
    pool = blobs(12, classes=2, size=size)
    learner, history = fitted(LossPrediction(network, batch_size=12, flip=False, lr=0.01), pool, epochs=1)
    assert [branch.in_features for branch in learner.predictor.branches] == widths
    assert np.isfinite(history.terms["loss_prediction"]).all()
    assert len(np.unique(predicted_losses(learner, pool))) == 12


def test_predictions_are_of_plain_images_in_evaluation_mode(monkeypatch):
    pool, learner = blobs(20, classes=2), LossPrediction()
    fitted(learner, pool, epochs=1)
    learner.network.train()
    before = bits(learner.network)
    guessed = predicted_losses(learner, with_ood(pool, 20))
    assert guessed.dtype == np.float64
    assert bits(learner.network) == before  # running statistics too
    monkeypatch.setattr(module, "_BATCH", 7)
    np.testing.assert_allclose(predicted_losses(learner, pool), guessed, atol=1e-5)
    with torch.no_grad(), learner.predictor.watching(learner.network) as means:
        learner.network.eval()(learner.normalize(to_pixels(pool.images([5]))))
    assert learner.predictor(means).item() == pytest.approx(guessed[5], abs=1e-5)


def test_only_labelled_images_are_trained_on():
    pool = blobs(40, classes=2)
    labels = pool.labels.copy()
    labels[:10], labels[10:20] = UNLABELED, OOD
    learner, history = fitted(LossPrediction(), pool.with_labels(labels), epochs=1)
    assert np.isnan(history.margin[:, :20]).all()
    assert np.isfinite(history.margin[:, 20:]).all()
    assert np.isfinite(predicted_losses(learner, pool)).sum() == 40


def test_ood_images_beside_them_are_not_ranked():
    pool, seen = with_ood(blobs()), {}
    calm = Calibration(method="taufe", weight=0.1, statistics="separate")  # a second pass, which leaves the first alone
    for name, options in (("alone", {}), ("beside", {"ood": calm})):

        def note(epoch, step, steps, terms, name=name):
            seen.setdefault(name, terms)

        fitted(LossPrediction(**options), pool, epochs=1, progress=note)
    assert seen["beside"]["loss_prediction"] == seen["alone"]["loss_prediction"]
    assert seen["beside"]["ood"] > 0


def test_stopped_in_an_epoch_it_ends_with_the_same_bits(tmp_path):
    class Stopped(Exception):
        pass

    def stop(epoch, step, steps, terms):
        if (epoch, step) == (2, 1):
            raise Stopped

    pool, path = blobs(), tmp_path / "training.pt"
    whole, expected = fitted(LossPrediction(), pool, epochs=4)
    with pytest.raises(Stopped):
        fitted(LossPrediction(), pool, epochs=4, checkpoint=path, progress=stop)
    torch.rand(3)  # whatever the caller's generator did
    again, history = fitted(LossPrediction(), pool, epochs=4, checkpoint=path)
    assert bits(again.network) == bits(whole.network)
    assert bits(again.predictor) == bits(whole.predictor)
    assert history.loss.tolist() == expected.loss.tolist()
    with pytest.raises(InputError, match="there, cut is 0.6; here, 0.5"):
        fitted(LossPrediction(cut=0.5), pool, epochs=4, checkpoint=path)


def test_what_cannot_be_is_told():
    with pytest.raises(InputError, match=r"weight should be 0 or more and finite, cut in \[0, 1\]; weight=-1, cut=0.6"):
        LossPrediction(weight=-1)
    with pytest.raises(InputError, match=r"weight=1.0, cut=nan came"):
        LossPrediction(cut=float("nan"))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(InputError, match="has no layer with weight matrices that gives maps"):
        fitted(LossPrediction(flat), blobs(), epochs=1)
