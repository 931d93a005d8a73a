import numpy as np
import pytest
import torch
from tests.learn.toys import blobs, flat

from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.learn import fit
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Batch, Part, Run
from goodgrain.learn.learners.dividemix import DivideMix, endless
from goodgrain.learn.model_file import save_model
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.learn.trained import load


def noisy_blobs(n=90, every=5):
    """Blobs of which each fifth has the next class's label."""
    pool = blobs(n)
    labels = pool.labels.copy()
    labels[::every] = (labels[::every] + 1) % 3
    return pool.with_labels(labels, pool.labels)


def prepared(pool, network=None, epochs=30, **options):
    learner = DivideMix(flat(pool) if network is None else network, flip=False, **options)
    learner.prepare(pool, Run(seed=3, epochs=epochs, engine=Engine("cpu")))
    return learner


def part_of(pool, positions):
    rows = np.asarray(positions)
    return Part(torch.from_numpy(rows), to_pixels(pool.images(rows)), torch.from_numpy(pool.labels[rows]))


def tensors(learner):
    return {
        f"{name}.{key}": value.clone()
        for name, part in learner.saved().items()
        if isinstance(part, torch.nn.Module)
        for key, value in part.state_dict().items()
    }


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def opinionated(pool):
    """A learner whose first network is sure of class 0 everywhere, and the second of class 1."""
    learner = prepared(pool, flat(pool, zero=True), warmup_epochs=0)
    for name, sure_of in (("first", 0), ("second", 1)):
        with torch.no_grad():
            learner.backbones[name].network.head.bias[sure_of] = 5.0
    return learner


def test_each_network_learns_from_what_the_other_believes():
    pool = blobs(60)
    learner = opinionated(pool)
    draws = learner.begin_epoch(pool, 0)
    seen = {
        part: {int(position) for draw in draws for position in draw.get(part, ())}
        for part in ("first.labeled", "first.unlabeled", "second.labeled", "second.unlabeled")
    }
    believed_by = {0: set(np.flatnonzero(pool.labels == 0)), 1: set(np.flatnonzero(pool.labels == 1))}
    assert seen["first.labeled"] == believed_by[1]
    assert seen["second.labeled"] == believed_by[0]
    # as many of the others as there are steps for; here two thirds of the images are the others
    assert len(seen["first.unlabeled"]) == len(seen["second.unlabeled"]) == 20
    assert not seen["first.unlabeled"] & believed_by[1]
    assert not seen["second.unlabeled"] & believed_by[0]
    names = [next(iter(draw)).partition(".")[0] for draw in draws]
    assert names == sorted(names)  # the first network's steps, then the second's
    assert learner._clean["first"].tolist() == pytest.approx((pool.labels == 1).astype(float), abs=1e-6)
    assert learner._clean["second"].tolist() == pytest.approx((pool.labels == 0).astype(float), abs=1e-6)
    assert learner.clean_probability(pool) == pytest.approx(np.isin(pool.labels, [0, 1]) / 2, abs=1e-6)


def test_both_networks_begin_with_weights_of_their_own():
    learner = prepared(blobs(), "small")
    first, second = (learner.backbones[name].network.head.weight for name in ("first", "second"))
    assert not torch.equal(first, second)


SEED = 11


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def stepped_by_hand(learner, name, labeled, unlabeled, clean, *, views, temperature, gamma, weight):
    """The published step line by line in NumPy: terms, and the gradient of the linear network's weights and bias."""
    statistics = learner.backbones[name].normalize
    mean, deviation = float(statistics.mean), float(statistics.deviation)
    layers = {which: learner.backbones[which].network.head for which in ("first", "second")}
    partner = {"first": "second", "second": "first"}[name]

    def logits_of(which, x):
        layer = layers[which]
        return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()

    def flattened(part, stream):
        pixels = learner._weak(part.pixels.repeat(views, 1, 1, 1), stream_seed(SEED, stream))
        return (pixels.double().flatten(1).numpy() - mean) / deviation

    def sharpened(p):
        powers = p ** (1 / temperature)
        return powers / powers.sum(axis=1, keepdims=True)

    x, u = flattened(labeled, "labeled"), flattened(unlabeled, "unlabeled")
    b, m = len(labeled.labels), len(unlabeled.labels)
    own = np.mean([softmax(logits_of(name, x[v * b : (v + 1) * b])) for v in range(views)], axis=0)
    w = clean[:, None]
    refined = sharpened(w * np.eye(3)[labeled.labels.numpy()] + (1 - w) * own)
    both = [softmax(logits_of(which, u[v * m : (v + 1) * m])) for v in range(views) for which in (name, partner)]
    guessed = sharpened(np.mean(both, axis=0))

    draws = generator(SEED, "mix")
    share = draws.beta(gamma, gamma)
    share = max(share, 1 - share)
    pixels = np.concatenate([x, u])
    targets = np.concatenate([refined] * views + [guessed] * views)
    order = draws.permutation(len(pixels))
    pixels, targets = share * pixels + (1 - share) * pixels[order], share * targets + (1 - share) * targets[order]

    p, c = softmax(logits_of(name, pixels)), 3
    cut, n = views * b, len(pixels)
    labeled_term = -(targets[:cut] * np.log(p[:cut])).sum(axis=1).mean()
    unlabeled_term = ((p[cut:] - targets[cut:]) ** 2).mean()
    mean_prediction = p.mean(axis=0)
    uniform_term = (np.log(1 / c / mean_prediction) / c).sum()
    of_p = np.concatenate(
        [-targets[:cut] / p[:cut] / cut, weight * 2 * (p[cut:] - targets[cut:]) / ((n - cut) * c)]
    ) - 1 / (c * n * mean_prediction)
    of_logits = p * (of_p - (of_p * p).sum(axis=1, keepdims=True))
    terms = {"labeled": labeled_term, "unlabeled": unlabeled_term, "uniform": uniform_term}
    terms["loss"] = labeled_term + weight * unlabeled_term + uniform_term
    return terms, of_logits.T @ pixels, of_logits.sum(axis=0)


@pytest.mark.parametrize(("name", "views"), [("first", 2), ("second", 2), ("first", 3), ("first", 1)])
def test_a_step_is_the_published_one(name, views):
    pool = blobs(30)
    options = {"lambda_u": 3.0, "temperature": 0.4, "gamma": 0.7, "views": views, "ramp_epochs": 20, "warmup_epochs": 4}
    recipe = {"lr": 0.2, "momentum": 0, "weight_decay": 0, "warmup": 0}
    learner = prepared(pool, **options, **recipe)
    with torch.no_grad():
        learner.backbones["second"].network.head.weight.mul_(-1.3)
    clean = np.linspace(0.3, 1.0, 30)
    learner._clean = {name: torch.from_numpy(clean).float()}
    labeled, unlabeled = part_of(pool, [7, 2, 9, 4]), part_of(pool, [1, 20, 11])
    weight = 3.0 * (0.5 * 30 - 4) / 20  # halfway through 30 epochs: 11 of the 20 in which the weight rises
    terms, of_weights, of_bias = stepped_by_hand(
        learner, name, labeled, unlabeled, clean[[7, 2, 9, 4]], views=views, temperature=0.4, gamma=0.7, weight=weight
    )
    before = tensors(learner)
    outcome = learner.step(Batch({f"{name}.labeled": labeled, f"{name}.unlabeled": unlabeled}, 0.5, SEED))
    after = tensors(learner)
    assert {term: value.item() for term, value in outcome.terms.items()} == pytest.approx(terms, rel=1e-4)
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    weights, bias = f"{name}.network.head.weight", f"{name}.network.head.bias"
    assert {key.replace(".1.", ".head.") for key in changed} == {weights, bias}  # and nothing of the partner
    step = 0.2 * 0.5  # the middle of the cosine
    assert after[weights].numpy() == pytest.approx(before[weights].numpy() - step * of_weights, abs=1e-5)
    assert after[bias].numpy() == pytest.approx(before[bias].numpy() - step * of_bias, abs=1e-5)


def test_the_weight_of_the_unlabelled_part_rises_in_a_straight_line():
    learner = prepared(blobs(), epochs=40, warmup_epochs=4, ramp_epochs=16)
    assert [learner._ramp(epoch / 40) for epoch in (4, 8, 12, 20, 40)] == [0, 0.25, 0.5, 1, 1]
    assert prepared(blobs(), warmup_epochs=0, ramp_epochs=0)._ramp(0.01) == 1


@pytest.mark.parametrize(("epochs", "warmup"), [(2, 1), (14, 1), (16, 2), (100, 10)])
def test_the_warm_up_is_a_tenth_of_the_epochs(epochs, warmup):
    assert prepared(blobs(), epochs=epochs)._warmup == warmup


def test_the_warm_up_is_cross_entropy_for_both():
    pool = blobs(30)
    learner = prepared(pool, flat(pool, zero=True), warmup_epochs=2, confidence_penalty=True)
    draws = learner.begin_epoch(pool, 1)
    for name in ("first", "second"):
        shown = np.concatenate([draw[f"{name}.whole"] for draw in draws if f"{name}.whole" in draw])
        assert sorted(shown) == list(range(30))
    outcomes = [learner.step(Batch({f"{name}.whole": part_of(pool, [0, 1])}, 0.1, 1)) for name in ("first", "second")]
    for outcome in outcomes:  # uniform predictions: log 3, and the entropy is log 3 as well
        values = {term: value.item() for term, value in outcome.terms.items()}
        assert values == pytest.approx(
            {"cross_entropy": np.log(3), "negative_entropy": -np.log(3), "loss": 0}, abs=1e-6
        )
    assert outcomes[0].positions.tolist() == [0, 1]
    assert outcomes[1].positions is None  # the history is the first network's


def test_unlabelled_images_are_drawn_in_endless_turns():
    draws = endless(np.arange(10, 15), [2] * 10, np.random.default_rng(0))
    flat_draws = np.concatenate(draws)
    assert [len(draw) for draw in draws] == [2] * 10
    for turn in flat_draws.reshape(4, 5):
        assert sorted(turn) == [10, 11, 12, 13, 14]
    assert len({tuple(turn) for turn in flat_draws.reshape(4, 5)}) > 1


def test_every_labelled_batch_is_a_step_and_the_rest_is_as_large_as_it_can_be():
    pool = blobs(60)
    learner = opinionated(pool)
    learner._kappa = 0.5
    learner._clean = {name: torch.tensor([1.0] * 57 + [0.0] * 3) for name in ("first", "second")}
    draws = learner._divided("first", 0)
    assert sorted(np.concatenate([draw["first.labeled"] for draw in draws])) == list(range(57))
    assert [len(draw["first.labeled"]) for draw in draws] == [15, 14, 14, 14]
    assert [sorted(draw["first.unlabeled"]) for draw in draws] == [[57, 58, 59]] * 4


@pytest.mark.parametrize("clean", ["all", "none", "one"])
def test_a_mixture_that_finds_one_kind_only_still_trains(clean):
    pool = blobs(40)
    learner = prepared(pool, "small", warmup_epochs=0, batch_size=10)
    believed = {"all": np.ones(40), "none": np.zeros(40), "one": np.eye(40)[7]}[clean]
    learner._clean = {name: torch.from_numpy(believed).float() for name in ("first", "second")}
    draws = [draw for name in ("first", "second") for draw in learner._divided(name, 3)]
    kind = "labeled" if clean == "all" else "whole"
    assert [tuple(draw) for draw in draws] == [(f"first.{kind}",)] * 4 + [(f"second.{kind}",)] * 4
    before = tensors(learner)
    for index, draw in enumerate(draws):
        parts = {name: part_of(pool, positions) for name, positions in draw.items()}
        assert learner.step(Batch(parts, 0.5, index)).terms["loss"].isfinite()
    after = tensors(learner)
    assert not any(torch.equal(before[key], after[key]) for key in after if key.endswith("head.weight"))


def test_equal_losses_leave_every_label_believed():
    pool = blobs(40)
    learner = prepared(pool, flat(pool, zero=True), warmup_epochs=0)
    assert {tuple(draw) for draw in learner.begin_epoch(pool, 0)} == {("first.labeled",), ("second.labeled",)}


def test_images_without_a_label_are_left_out():
    full = noisy_blobs(40)
    labels = full.labels.copy()
    labels[:6], labels[6:10] = -1, -2
    pool, learner = full.with_labels(labels), DivideMix(flip=False, lr=0.02)
    history = fit(learner, pool, epochs=3, seed=0, device="cpu")
    shown = {int(p) for draw in learner.begin_epoch(pool, 2) for part in draw.values() for p in part}
    assert shown <= set(range(10, 40))
    assert np.isnan(history.margin[:, :10]).all()
    assert np.isfinite(history.margin[0, 10:]).all()
    distrust = learner.clean_probability(pool)
    assert np.isnan(distrust[:10]).all()
    assert ((distrust[10:] >= 0) & (distrust[10:] <= 1)).all()


def test_both_networks_answer_and_are_saved(tmp_path):
    pool, learner = blobs(40), DivideMix(flip=False, lr=0.05)
    fit(learner, pool, epochs=2, seed=0, device="cpu")
    pixels = to_pixels(pool.images(np.arange(40)))
    logs, features = learner.infer(pixels)
    each = [learner.backbones[name].infer(pixels) for name in ("first", "second")]
    assert not torch.allclose(each[0][0], each[1][0])
    torch.testing.assert_close(logs.exp(), (each[0][0].exp() + each[1][0].exp()) / 2)
    assert torch.equal(features, torch.cat([each[0][1], each[1][1]], dim=1))
    save_model(tmp_path / "both.safetensors", learner, pool)
    loaded = load(tmp_path / "both.safetensors", device="cpu").infer(pixels)
    assert torch.equal(loaded[0], logs)
    assert torch.equal(loaded[1], features)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"lambda_u": -1}, "lambda_u should be 0 or more; -1 came"),
        ({"kappa": 1.5}, "kappa should be above 0 and at most 1; 1.5 came"),
        ({"temperature": 0}, "temperature should be above 0; 0 came"),
        ({"gamma": 0}, "gamma should be above 0; 0 came"),
        ({"views": 0}, "views should be a whole number, at least 1; 0 came"),
        ({"warmup_epochs": -1}, "warmup_epochs should be a whole number, at least 0; -1 came"),
        ({"lr": -1}, "lr and weight_decay should be 0 or more"),
    ],
)
def test_settings_out_of_range_are_told(option, sentence):
    with pytest.raises(InputError, match=sentence):
        DivideMix(**option)
