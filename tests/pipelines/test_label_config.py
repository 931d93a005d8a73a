import pytest

from goodgrain.errors import InputError, UnknownName
from goodgrain.pipelines.label_config import LabelConfig, check_config


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"stratgy": "conf"}, "no argument of label 'stratgy'. Did you mean 'strategy'?"),
        ({"strategy": "mqnt"}, "no query strategy 'mqnt'. Did you mean 'mqnet'?"),
        ({"purity": "nearest_inn"}, "no purity 'nearest_inn'. Did you mean 'nearest_in'?"),
        ({"informativeness": "marge"}, "no informativeness 'marge'"),
        ({"meta": "lernt"}, "no meta 'lernt'"),
        ({"learn_from": "first"}, "no answers to learn from 'first'"),
        ({"target": "haed"}, "no target 'haed'. Did you mean 'head'?"),
        ({"ood_answers": "tauf"}, "no use of OOD answers 'tauf'. Did you mean 'taufe'?"),
        ({"encoder": "clip"}, "no encoder 'clip'"),
        ({"precision": "half"}, "no precision 'half'"),
        ({"query_precision": 0}, "query_precision"),
        ({"encoder_epochs": 0}, "encoder_epochs"),
        ({"steps": 1.5}, "steps"),
        ({"batch_size": 1}, "batch_size"),
        ({"lr": 0}, "lr should be above 0 and finite; 0 came"),
        ({"lr": float("inf")}, "lr should be above 0 and finite; inf came"),
        ({"seed": -1}, "seed"),
        ({"lease": 0}, "lease"),
        ({"c_in": -1}, "c_in should be a number, 0 or more; -1 came"),
        ({"budget": 1, "c_ood": 2}, "budget=1 pays for no answer: one can cost 2. Give at least that much"),
        (
            {"target": "head", "strategy": "ll"},
            "ll predicts losses from a network's maps, and a head has none. Use target network.",
        ),
        ({"target": "head", "informativeness": "ll"}, "ll predicts losses from a network's maps"),
        (
            {"target": "head", "ood_answers": "taufe"},
            "TAUFE acts on features, and under a head they stay as they are. Use ood_answers class.",
        ),
        (
            {"target": "head", "purity": "react"},
            "purity react asks a network for more than a head can tell. Use one of nearest_both, nearest_in, "
            "nearest_ood, csi, probe, msp, energy, or target network.",
        ),
    ],
)
def test_what_cannot_work_is_refused(arguments, sentence):
    with pytest.raises((InputError, UnknownName)) as error:
        check_config(arguments)
    assert sentence in str(error.value)


def test_what_a_configuration_follows_from():
    assert LabelConfig(strategy="Purity-First").strategy == "purity_first"
    assert [LabelConfig(strategy=name).combines for name in ("mqnet", "purity_first", "badge")] == [True, True, False]
    assert [LabelConfig(strategy=name).takes_turns for name in ("mqnet", "conf")] == [True, False]
    assert not LabelConfig(balanced=False).takes_turns
    assert LabelConfig(strategy="conf", balanced=True).takes_turns
    losses = [{"strategy": "ll"}, {"informativeness": "ll"}, {"strategy": "conf", "informativeness": "ll"}]
    assert [LabelConfig(**one).predicts_losses for one in losses] == [True, True, False]
    space = [{}, {"purity": "msp"}, {"strategy": "conf"}, {"strategy": "ccal"}, {"strategy": "conf", "target": "head"}]
    assert [LabelConfig(**one).sees_space for one in space] == [True, False, False, True, True]
    assert LabelConfig(c_in=2, c_ood=3).costs.most == 3


def test_its_table_makes_it_again():
    asked = LabelConfig(strategy="purity_first", c_unsure=0.5, balanced=True, seed=2)
    assert check_config(asked.table()) == asked
    assert check_config({name: value for name, value in asked.table().items() if value is not None}) == asked
