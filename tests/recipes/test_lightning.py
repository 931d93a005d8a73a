import itertools

import lightning
import pytest
import torch
from torch.nn.functional import cross_entropy

from goodgrain.losses import taufe
from goodgrain.models import Penultimate
from recipes.toys import accuracy, mlp, ood_loader, own_loader, program, resnet, same, squared_length, weights_of

pytestmark = pytest.mark.filterwarnings(
    r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"  # lightning asks torch in its old words
)
NAMES = {
    "cross_entropy": cross_entropy, "itertools": itertools, "lightning": lightning, "taufe": taufe,
    "Penultimate": Penultimate, "__name__": __name__,
}  # fmt: skip
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def fitted(build, weight, *, epochs=3, steps=-1, optimizer=torch.optim.Adam):
    """The module of the guide after training; its weight None leaves the added lines out."""
    names = dict(NAMES)
    exec(program("Lightning", weight), names)
    torch.manual_seed(0)
    module = names["Classifier"](build(), ood_loader())
    module.configure_optimizers = lambda: optimizer(module.parameters(), lr=1e-2)
    lightning.Trainer(max_epochs=epochs, max_steps=steps, accelerator="cpu", devices=1, **QUIET).fit(
        module, own_loader()
    )
    return module


@pytest.mark.parametrize("build", [resnet, mlp])
def test_weight_0_is_the_module_without_the_added_lines_to_the_bit(build):
    expected = weights_of(fitted(build, None))  # the same names too: a checkpoint looks as before
    assert same(expected, weights_of(fitted(build, 0.0)))
    assert not same(expected, weights_of(fitted(build, 0.1)))


@pytest.mark.parametrize("build", [resnet, mlp])
def test_features_of_ood_images_go_out_and_accuracy_stays(build):
    lengths = {}
    for weight in (0.0, 0.1):
        network = fitted(build, weight, epochs=20).network
        assert accuracy(network) == 1.0
        lengths[weight] = squared_length(network)
    assert lengths[0.1] < lengths[0.0] / 10


def test_the_head_gets_no_gradient():
    without, with_penalty = (
        fitted(mlp, weight, epochs=1, steps=1, optimizer=torch.optim.SGD).network for weight in (0.0, 10.0)
    )
    assert same(without[-1].state_dict(), with_penalty[-1].state_dict())
    assert not same(without.state_dict(), with_penalty.state_dict())
