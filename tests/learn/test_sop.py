import numpy as np
import pytest
import torch
from tests.learn.toys import blobs

from goodgrain.data.pool import Pool
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn import SOP, fit
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Batch, Part, Run
from goodgrain.learn.learners.sop import NoiseVariables
from goodgrain.losses.noisy import class_balance, consistency, sop


def prepared(pool, **options):
    learner = SOP(flip=False, **options)
    learner.prepare(pool, Run(seed=3, epochs=2, engine=Engine("cpu")))
    return learner


def part_of(pool, positions):
    rows = np.asarray(positions)
    pixels = torch.from_numpy(pool.images(rows)).permute(0, 3, 1, 2).float() / 255
    return Part(torch.from_numpy(rows), pixels, torch.from_numpy(pool.labels[rows]))


def grown(learner):
    """Noise variables that are large enough to matter."""
    learner.noise.u += 0.3
    learner.noise.v += 0.2
    return learner


def test_a_step_of_u_and_v_is_plain_sgd_on_the_mean_loss():
    pool = blobs(12)
    learner = grown(prepared(pool, lr_u=2.0, lr_v=5.0))
    part, before_u, before_v = part_of(pool, [7, 2, 9, 4]), learner.noise.u.clone(), learner.noise.v.clone()
    views = [learner._weak(part.pixels, _seed("weak")), learner._strong(part.pixels, _seed("strong"))]
    with torch.no_grad():
        weak_logits, strong_logits = learner.backbone.forward(torch.cat(views))[0].chunk(2)
    u, v = before_u.clone().requires_grad_(), before_v.clone().requires_grad_()
    terms = sop(weak_logits, part.labels, u[part.positions], v[part.positions])
    loss = terms.cross_entropy + terms.squared_error + 0.1 * class_balance(terms.adjusted)
    loss = loss + 0.9 * consistency(weak_logits, strong_logits)
    loss.backward()
    outcome = learner.step(Batch({"train": part}, 0.5, 11))
    assert outcome.terms["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert torch.allclose(learner.noise.u, before_u - 2.0 * u.grad, atol=1e-6)
    assert torch.allclose(learner.noise.v, before_v - 5.0 * v.grad, atol=1e-6)
    untouched = np.setdiff1d(np.arange(12), [7, 2, 9, 4])
    assert torch.equal(learner.noise.u[untouched], before_u[untouched])
    assert not torch.equal(learner.noise.v[[7, 2, 9, 4]], before_v[[7, 2, 9, 4]])


def _seed(name):
    from goodgrain.learn.streams import stream_seed

    return stream_seed(11, name)


def rows_by_id(learner, pool):
    return {name: (float(learner.noise.u[i, 0]), *learner.noise.v[i].tolist()) for i, name in enumerate(pool.ids)}


@pytest.mark.parametrize("chosen", [list(range(11, -1, -1)), [7, 3, 9, 4, 2]], ids=["shuffled", "subset"])
def test_noise_variables_follow_ids(chosen):
    whole = blobs(12)
    other = whole.subset(chosen)
    first, second = grown(prepared(whole)), grown(prepared(other))
    assert rows_by_id(second, other) == {name: rows_by_id(first, whole)[name] for name in other.ids}
    ids = ["7", "2", "9", "4"]
    for learner, pool in ((first, whole), (second, other)):
        learner.backbone.normalize.load_state_dict(first.backbone.normalize.state_dict())
        learner.step(Batch({"train": part_of(pool, [list(pool.ids).index(name) for name in ids])}, 0.5, 11))
    expected = rows_by_id(first, whole)
    got = rows_by_id(second, other)
    for name in other.ids:
        assert got[name] == pytest.approx(expected[name], abs=1e-6)
    assert got["7"] != pytest.approx(got["3"], abs=1e-6)  # a row that was stepped is not like one that was not


def test_an_id_that_comes_twice_in_a_step_is_stepped_by_both():
    noise = NoiseVariables(["a", "b"], 2, 0)
    twice = torch.tensor([0, 0])
    u, v = noise.rows(twice)
    (u.sum() * 2.0 + v.sum()).backward()
    before = noise.u.clone()
    noise.descend(twice, u, v, lr_u=0.5, lr_v=1.0, engine=Engine("cpu"))
    assert noise.u[:, 0].tolist() == pytest.approx([float(before[0, 0]) - 2.0, float(before[1, 0])])
    assert noise.v[0].tolist() == pytest.approx([-2.0, -2.0])


def test_without_consistency_there_is_no_strong_view():
    pool = blobs(12)
    learner = prepared(pool, consistency=0.0)
    learner._strong = None  # would fail if it were called
    assert "consistency" not in learner.step(Batch({"train": part_of(pool, [0, 1, 2])}, 0.5, 1)).terms


def test_wrong_labels_get_more_noise_than_right_ones():
    pool = blobs(90)
    wrong = np.arange(0, 90, 5)
    labels = pool.labels.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    noisy = Pool.from_arrays(pool.images(np.arange(90)), labels)
    learner = SOP(flip=False, lr=0.1, batch_size=16)
    fit(learner, noisy, epochs=25, seed=0, device="cpu")
    learned = (learner.noise.u[:, 0] ** 2).numpy()
    right = np.setdiff1d(np.arange(90), wrong)
    assert np.median(learned[wrong]) > 10 * np.median(learned[right])


def test_bad_numbers_are_refused():
    with pytest.raises(InputError, match="lr_u, lr_v, consistency and balance should be 0 or more; lr_u=-1"):
        SOP(lr_u=-1)
    with pytest.raises(UnknownName, match="no schedule 'cosin'. Did you mean 'cosine'"):
        SOP(schedule="cosin")
