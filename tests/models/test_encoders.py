"""Encoders of anyone's models: tiny ones of every family, made here with random weights."""

import json
import os
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from goodgrain.errors import InputError, MissingExtra
from goodgrain.models.encoders import load_encoder
from goodgrain.models.encoders.function import FunctionEncoder

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
LOOK = {**TINY, "image_size": 16, "patch_size": 8}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "grain", "chaff", "and"]
TEXTS = ["good grain", "bad chaff and good grain", "grain"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function that saves a model of random weights, once, and gives its folder and the model."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def of(name):
        if name not in made:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = MODELS[name]().eval()
            model.save_pretrained(root / name)
            if name in ("bert", "moods", "clip", "t5"):
                takes = ["input_ids", "attention_mask"]
                vocabulary = {word: i for i, word in enumerate(WORDS)}
                tokenizer = transformers.BertTokenizer(vocab=vocabulary, model_input_names=takes)
                tokenizer.save_pretrained(root / name)
            if name not in ("bert", "moods", "t5"):
                settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}
                settings |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
                (root / name / "preprocessor_config.json").write_text(json.dumps(settings))
            made[name] = root / name, model
        return made[name]

    return of


def clip():
    towers = {"text_config": {**TINY, "vocab_size": 20, "bos_token_id": 2, "eos_token_id": 3}, "vision_config": LOOK}
    return transformers.CLIPModel(transformers.CLIPConfig(**towers, projection_dim=8))


def moods():
    config = transformers.BertConfig(**TINY, vocab_size=10, id2label={0: "LABEL_0", 1: "LABEL_1"})
    return transformers.BertForSequenceClassification(config)


MODELS = {
    "vit": lambda: transformers.ViTModel(transformers.ViTConfig(**LOOK)),
    "poolless": lambda: transformers.ViTModel(transformers.ViTConfig(**LOOK), add_pooling_layer=False),
    "resnet": lambda: transformers.ResNetModel(
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])
    ),
    "classes": lambda: transformers.ViTForImageClassification(
        transformers.ViTConfig(**LOOK, id2label={0: "cat", 1: "dog", 2: "owl"})
    ),
    "clip": clip,
    "bert": lambda: transformers.BertModel(transformers.BertConfig(**TINY, vocab_size=10)),
    "moods": moods,
    "t5": lambda: transformers.T5Model(
        transformers.T5Config(vocab_size=10, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    ),
}


def images(n=3, channels=3):
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16, channels), dtype=np.uint8)


def prepared(pictures):
    """What the image processors of these models do, by hand."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vit", lambda model, x: model(x).pooler_output),
        ("poolless", lambda model, x: model(x).last_hidden_state[:, 0]),
        ("resnet", lambda model, x: model(x).last_hidden_state.mean(dim=(2, 3))),
        ("clip", lambda model, x: model.visual_projection(model.vision_model(x).pooler_output)),
        ("classes", lambda model, x: model.vit(x).last_hidden_state[:, 0]),
    ],
)
def test_the_features_that_each_family_is_known_for(saved, name, expected):
    folder, model = saved(name)
    encoder = load_encoder(str(folder))
    with torch.no_grad():
        oracle = expected(model, prepared(images())).numpy()
    assert encoder.image_size == (16, 16)
    np.testing.assert_allclose(encoder(images()).features, oracle, rtol=1e-4, atol=1e-6)


def test_pooling_weights_that_the_file_lacks_are_never_random(saved):
    folder, _ = saved("poolless")
    first, again = (load_encoder(str(folder))(images()).features for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_fine_tuned_classifier_gives_probabilities_of_its_features(saved):
    folder, model = saved("classes")
    encoder = load_encoder(str(folder))
    seen = encoder(images())
    assert encoder.classes == ("cat", "dog", "owl")
    logits = model.classifier(torch.from_numpy(seen.features))
    np.testing.assert_allclose(seen.probabilities, logits.softmax(dim=1).detach().numpy(), rtol=1e-5)


def test_gray_images_are_shown_as_gray_colours(saved):
    encoder = load_encoder(str(saved("vit")[0]))
    gray = images(channels=1)
    np.testing.assert_array_equal(encoder(gray).features, encoder(np.repeat(gray, 3, axis=3)).features)


@pytest.mark.parametrize("name", ["bert", "moods", "clip", "t5"])
def test_a_text_is_encoded_alike_in_any_company(saved, name):
    encoder = load_encoder(str(saved(name)[0]), texts=True)
    together = encoder(TEXTS)
    alone = [encoder([text]) for text in TEXTS]
    np.testing.assert_allclose(together.features, [one.features[0] for one in alone], rtol=1e-4, atol=1e-6)
    assert (together.probabilities is None) == (name != "moods")


def test_texts_are_the_mean_of_their_tokens(saved):
    folder, model = saved("bert")
    tokens = torch.tensor([[2, 5, 7, 3]])  # [CLS] good grain [SEP]
    with torch.no_grad():
        expected = model(tokens).last_hidden_state.mean(dim=1)[0]
    np.testing.assert_allclose(load_encoder(f"hf:{folder}", texts=True)(TEXTS).features[0], expected, rtol=1e-4)


def test_texts_in_the_space_that_they_share_with_images(saved):
    folder, model = saved("clip")
    tokens = torch.tensor([[2, 5, 7, 3]])
    with torch.no_grad():
        expected = model.text_projection(model.text_model(tokens).pooler_output)[0]
    np.testing.assert_allclose(load_encoder(str(folder), texts=True)(TEXTS).features[0], expected, rtol=1e-4)


def test_a_classifier_of_texts_with_nameless_classes(saved):
    folder, model = saved("moods")
    encoder = load_encoder(str(folder), texts=True)
    seen = encoder(TEXTS)
    assert encoder.classes is None
    expected = model.classifier(torch.from_numpy(seen.features)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(seen.probabilities, expected, rtol=1e-5)


def copied(folder, target):
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_weights_that_are_missing_are_not_made_up(saved, tmp_path):
    broken = copied(saved("vit")[0], tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights.pop("embeddings.cls_token")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lack 1 of the network's, such as embeddings.cls_token, which would be rand"):
        load_encoder(str(broken))


def test_pickled_weights_are_refused(saved, tmp_path):
    pickled = copied(saved("vit")[0], tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot be loaded: .*safetensors"):
        load_encoder(str(pickled))


def test_code_that_comes_with_a_model_is_not_run(saved, tmp_path):
    foreign = copied(saved("vit")[0], tmp_path / "foreign")
    config = json.loads((foreign / "config.json").read_text())
    config |= {"model_type": "foreign", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (foreign / "config.json").write_text(json.dumps(config))
    (foreign / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_encoder(str(foreign))
    assert not (tmp_path / "ran").exists()


def test_a_sentence_transformers_folder_asks_for_its_library(saved, tmp_path, monkeypatch):
    folder = copied(saved("bert")[0], tmp_path / "sentences")
    (folder / "modules.json").write_text("[]")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"sentence-transformers is not installed. .*goodgrain\[embed\]"):
        load_encoder(str(folder), texts=True)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("hf:nobody/nothing", "the model nobody/nothing cannot be loaded"),
        ("resnet", "there is no model 'resnet'. Give hf:NAME, timm:NAME, a folder"),
        ("hf:", "there is no model 'hf:'"),
        ("nowhere:look", "the model nowhere:look cannot be imported: No module named 'nowhere'"),
        ("math:pi", "math:pi should be a function of one batch; it is a float"),
    ],
)
def test_what_is_no_model_is_said_in_a_sentence(spec, sentence, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError) as error:
        load_encoder(spec)
    assert sentence in str(error.value)


def test_timm_is_asked_for_when_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"timm is not installed. Install it with: pip install 'goodgrain\[timm\]'"):
        load_encoder("timm:resnet50")
    with pytest.raises(InputError, match="takes images, but the data are texts"):
        load_encoder("timm:resnet50", texts=True)


class Timmish(nn.Module):
    """The part of a timm network that is used: mean colours as features, a linear classifier."""

    num_classes = 2

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward_features(self, pixels):
        return pixels

    def forward_head(self, maps, pre_logits=False):
        features = maps.mean(dim=(2, 3))
        return features if pre_logits else self.fc(features)

    def get_classifier(self):
        return self.fc


def test_a_timm_network_by_hand(monkeypatch):
    network = Timmish()
    settings = {"input_size": (3, 16, 16), "mean": (0.5, 0.25, 0.0), "std": (0.5, 0.25, 1.0)}
    timm = types.SimpleNamespace(
        create_model=lambda name, pretrained: network,
        data=types.SimpleNamespace(resolve_model_data_config=lambda model: settings),
    )
    monkeypatch.setitem(sys.modules, "timm", timm)
    encoder = load_encoder("timm:any")
    white = encoder(np.full((2, 16, 16, 3), 255, dtype=np.uint8))  # (1 - .5) / .5, (1 - .25) / .25, 1 / 1
    np.testing.assert_allclose(white.features, [[1, 3, 1]] * 2, rtol=1e-6)
    logits = network.fc(torch.tensor([1.0, 3.0, 1.0]))
    np.testing.assert_allclose(white.probabilities[0], logits.softmax(dim=0).detach().numpy(), rtol=1e-5)
    larger = encoder(np.full((1, 40, 30, 1), 255, dtype=np.uint8))
    np.testing.assert_allclose(larger.features, [[1, 3, 1]], rtol=1e-5)


def test_a_function_may_return_tensors_and_probabilities():
    encoder = FunctionEncoder(lambda x: (torch.ones(len(x), 2, requires_grad=True), [[0.25, 0.75]] * len(x)), "mine")
    seen = encoder(["a", "b"])
    assert seen.features.tolist() == [[1, 1], [1, 1]]
    assert seen.probabilities.tolist() == [[0.25, 0.75]] * 2


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (np.ones((1, 2)), "the features of mine has 1 rows, but there are 2 examples"),
        (np.ones(2), "the features of mine should have 2 axes; its shape is (2,)"),
        (np.full((2, 2), np.nan), "the features of mine has NaN"),
        ((np.ones((2, 2)), np.ones((2, 2))), "each row of the probabilities of mine should sum to 1"),
        ((1, 2, 3), "mine should return features, or features and probabilities; 3 parts came"),
        (None, "the features of mine"),
    ],
)
def test_what_a_function_should_not_return(answer, sentence):
    with pytest.raises(InputError) as error:
        FunctionEncoder(lambda _: answer, "mine")(["a", "b"])
    assert sentence in str(error.value)
