import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tests.learn.toys import PerExample, TwoNetworks, blobs, flat

from goodgrain.errors import GoodgrainError, InputError
from goodgrain.learn import LEARNERS as LEARNERS_BY_NAME
from goodgrain.learn import SOP, DivideMix, SimCLR, Standard, fit

LEARNERS = {
    "sop": lambda: SOP(flip=False),
    "dividemix": lambda: DivideMix(flip=False, warmup_epochs=1),
    "simclr": lambda: SimCLR(batch_size=16),
    "standard": Standard,
    "per example": PerExample,
    "two networks": TwoNetworks,
}


class Stopped(Exception):
    pass


def weights(learner):
    """Every tensor that training leaves behind."""
    found = []
    for name, part in sorted(learner.saved().items()):
        if isinstance(part, torch.nn.Module):
            found += [(f"{name}.{key}", value.numpy().tobytes()) for key, value in part.state_dict().items()]
    return found


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_stopped_at_any_step_it_ends_with_the_same_bits(make, tmp_path):
    pool, whole = blobs(), make()
    expected = fit(whole, pool, epochs=4, seed=7, device="cpu")
    rng = np.random.default_rng(0)
    path, stops = tmp_path / "training.pt", 0
    while True:
        left = int(rng.integers(3, 12))

        def stop(epoch, step, steps, terms):
            nonlocal left
            left -= 1
            if left == 0:
                raise Stopped

        again = make()
        torch.rand(int(rng.integers(5)))  # whatever the caller's generator did
        try:
            history = fit(again, pool, epochs=4, seed=7, checkpoint=path, progress=stop, device="cpu")
            break
        except Stopped:
            stops += 1
    assert stops >= 2
    assert weights(again) == weights(whole)
    assert history.margin.tobytes() == expected.margin.tobytes()
    assert np.array_equal(history.correct, expected.correct)
    assert history.terms.keys() == expected.terms.keys()
    for name, values in expected.terms.items():
        np.testing.assert_array_equal(history.terms[name], values)


SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from goodgrain.learn import LEARNERS, fit
from tests.learn.toys import blobs
def told(epoch, step, steps, terms):
    print(epoch, step, flush=True)
learner = LEARNERS[sys.argv[1]](flip=False)
fit(learner, blobs(240), epochs=12, seed=1, checkpoint=sys.argv[2], progress=told, device="cpu")
torch.save({name: part.state_dict() for name, part in learner.saved().items()}, sys.argv[3])
"""


def final_state(name):
    """What an undisturbed training ends with, on one thread like the script's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        learner = LEARNERS_BY_NAME[name](flip=False)
        fit(learner, blobs(240), epochs=12, seed=1, device="cpu")
    finally:
        torch.set_num_threads(threads)
    return flat_state({part: value.state_dict() for part, value in learner.saved().items()})


def flat_state(state, prefix=""):
    """Every tensor and number of a nested state, by its path."""
    if isinstance(state, dict):
        return {
            path: leaf for key, value in state.items() for path, leaf in flat_state(value, f"{prefix}.{key}").items()
        }
    if isinstance(state, list):
        return flat_state(dict(enumerate(state)), prefix)
    return {prefix: state.numpy().tobytes() if isinstance(state, torch.Tensor) else state}


def start(name, path, final, root):
    paths = os.pathsep.join([str(root), *sys.path])
    command = [sys.executable, "-c", SCRIPT, name, str(path), str(final)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})


def test_killed_and_called_again_it_ends_with_the_same_bits(tmp_path, request):
    path, final, root = tmp_path / "training.pt", tmp_path / "final.pt", request.config.rootpath
    for lines in (17, 60):  # in the first epochs, then some epochs later; somewhere between two steps or in a write
        with start("sop", path, final, root) as child:
            for _ in range(lines):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        assert path.exists()
        assert not final.exists()
    with start("sop", path, final, root) as child:
        told = child.stdout.read()
    assert int(told.split()[0]) > 0  # it went on and did not start over
    assert flat_state(torch.load(final, weights_only=True)) == final_state("sop")


@pytest.mark.soak
@pytest.mark.parametrize("name", LEARNERS_BY_NAME)
def test_ten_kills_at_random_moments_change_nothing(name, tmp_path, request):
    path, final, root = tmp_path / "training.pt", tmp_path / "final.pt", request.config.rootpath
    rng = np.random.default_rng(0)
    steps = 30 if name == "dividemix" else 15  # of an epoch
    for _ in range(10):  # each within the next two epochs, between two steps, in one, or in a write
        with start(name, path, final, root) as child:
            for _ in range(int(rng.integers(1, 2 * steps))):
                child.stdout.readline()
            time.sleep(rng.uniform(0, 0.03))
            child.kill()
        assert child.returncode == -signal.SIGKILL
        assert not final.exists()
    with start(name, path, final, root) as child:
        told = child.stdout.read()
    assert int(told.split()[0]) > 0
    assert flat_state(torch.load(final, weights_only=True)) == final_state(name)


def test_a_finished_training_is_taken_up_without_a_step(tmp_path):
    pool, steps = blobs(), []

    def count(*step):
        steps.append(step)

    first, second = Standard(), Standard()
    history = fit(first, pool, epochs=2, seed=0, checkpoint=tmp_path / "deep" / "a.pt", progress=count, device="cpu")
    assert [step[:3] for step in steps] == [(epoch, step, 4) for epoch in (0, 1) for step in range(4)]
    taken = fit(second, pool, epochs=2, seed=0, checkpoint=tmp_path / "deep" / "a.pt", progress=count, device="cpu")
    assert len(steps) == 8
    assert weights(first) == weights(second)
    assert np.array_equal(taken.margin, history.margin)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["a.pt"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 2}, "there, seed is 1; here, 2"),
        ({"epochs": 3}, "there, epochs is 1; here, 3"),
        ({"learner": Standard(lr=0.5)}, "there, lr is 0.2; here, 0.5"),
        ({"learner": PerExample()}, "there, learner is 'standard'; here, 'per-example'"),
        ({"pool": blobs().with_labels(np.roll(blobs().labels, 1))}, "its images or labels are others"),
        ({"pool": blobs(57)}, "its images or labels are others"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused(change, sentence, tmp_path):
    asked = {"learner": Standard(), "pool": blobs(), "epochs": 1, "seed": 1}
    fit(**asked, checkpoint=tmp_path / "a.pt", device="cpu")
    before = (tmp_path / "a.pt").read_bytes()
    with pytest.raises(InputError, match=f"belongs to another training: {sentence}"):
        fit(**(asked | change), checkpoint=tmp_path / "a.pt", device="cpu")
    assert (tmp_path / "a.pt").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_file_that_is_no_checkpoint_is_refused(content, tmp_path):
    path = tmp_path / "a.pt"
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match="is no checkpoint of this library"):
        fit(Standard(), blobs(), epochs=1, seed=0, checkpoint=path, device="cpu")


def test_the_leftover_of_a_killed_write_does_no_harm(tmp_path):
    (tmp_path / ".a.pt.part").write_bytes(b"half a file")
    fit(Standard(), blobs(), epochs=1, seed=0, checkpoint=tmp_path / "a.pt", device="cpu")
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_at_rate_zero_the_history_is_a_recomputation():
    pool = blobs(30)
    network = flat(pool)
    learner = Standard(network, lr=0.0, augment=False, weight_decay=0)
    history = fit(learner, pool, epochs=3, seed=0, device="cpu")
    pixels = pool.images(np.arange(30)).reshape(30, -1) / 255
    x = (pixels - pixels.mean()) / pixels.std()
    layer = network[1]
    logits = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    for row in range(30):
        given = logits[row, pool.labels[row]]
        other = max(logits[row, k] for k in range(3) if k != pool.labels[row])
        np.testing.assert_allclose(history.margin[:, row], given - other, atol=1e-4)
        assert (history.correct[:, row] == (given > other)).all()
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(30), pool.labels]
    np.testing.assert_allclose(history.loss, losses.reshape(-1).mean(), atol=0.02)  # batches differ by one in size


@pytest.mark.parametrize("make", [PerExample, TwoNetworks])
def test_learners_of_other_kinds_learn_through_the_same_loop(make):
    pool, learner = blobs(), make()
    history = fit(learner, pool, epochs=25, seed=0, device="cpu")
    assert history.loss[-1] < 0.8 * history.loss[0]
    assert set(history.terms) > {"loss"}
    assert np.isfinite(history.margin).any(axis=1).all()


class Exploding(PerExample):
    """Standard until an epoch, in which loss or weights stop being numbers."""

    def __init__(self, at, where):
        self.at, self.where = at, where

    def begin_epoch(self, pool, epoch):
        self.epoch = epoch
        return super().begin_epoch(pool, epoch)

    def step(self, batch):
        outcome = super().step(batch)
        if self.epoch == self.at and self.where == "weights":
            with torch.no_grad():
                self.network[1].weight[0, 0] = float("inf")
            return outcome
        return outcome if self.epoch != self.at else type(outcome)({"loss": torch.tensor(float("nan"))})


def test_a_loss_that_is_no_number_stops_and_names_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "a.pt"
    with pytest.raises(GoodgrainError) as caught:
        fit(Exploding(2, "loss"), blobs(), epochs=4, seed=0, checkpoint=path, device="cpu")
    assert str(caught.value) == (
        "the loss became NaN or infinite in epoch 3: try a lower learning rate. "
        f"The last good checkpoint is {path}, after 2 epochs."
    )
    assert len(torch.load(path, weights_only=True)["content"]["history"]["terms"]) == 2
    with pytest.raises(GoodgrainError, match=r"in epoch 1: try a lower learning rate\.$"):
        fit(Exploding(0, "loss"), blobs(), epochs=4, seed=0, device="cpu")


def test_weights_that_are_no_numbers_never_reach_a_checkpoint(tmp_path):
    path = tmp_path / "a.pt"
    with pytest.raises(GoodgrainError, match=r"became NaN or infinite in epoch 2"):
        fit(Exploding(1, "weights"), blobs(16), epochs=4, seed=0, checkpoint=path, device="cpu")
    state = torch.load(path, weights_only=True)["content"]["state"]
    assert all(value.isfinite().all() for value in state["network"].values())


def test_the_callers_settings_and_generators_come_back():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(Standard(), blobs(), epochs=1, seed=0, device="cpu")
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_what_cannot_be_is_told():
    with pytest.raises(InputError, match="epochs should be a whole number of 1 or more; 0 came"):
        fit(Standard(), blobs(), epochs=0, seed=0)
    with pytest.raises(InputError, match="there is no device 'gpu'. Give auto, cpu or cuda"):
        fit(Standard(), blobs(), epochs=1, seed=0, device="gpu")
