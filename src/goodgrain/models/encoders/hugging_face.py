"""Models in the format of Hugging Face transformers as encoders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from goodgrain.errors import InputError
from goodgrain.models.encoders.encoder import Encoded, Encoder, Examples, library

_SAFE = {"trust_remote_code": False}  # a model is weights and numbers; its author's code is never run
_CLASSIFIERS = {
    "ForImageClassification": "AutoModelForImageClassification",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
}
_LONGEST = 512  # tokens, where neither tokenizer nor model says

Inputs = dict[str, Tensor]


class HuggingFaceEncoder:
    """A network, what prepares its inputs, and how features and logits are taken from it.

    Args:
        prepare: a batch -> the network's inputs on its device.
        answer: the network's inputs -> features (b, d), and logits (b, c) or None.
        image_size: (height, width) that images should come in.
        classes: names in the order of the logits.
    """

    def __init__(
        self,
        prepare: Callable[[Examples], Inputs],
        answer: Callable[[Inputs], tuple[Tensor, Tensor | None]],
        image_size: tuple[int, int] | None,
        classes: tuple[str, ...] | None,
    ) -> None:
        self.image_size = image_size
        self.classes = classes
        self._prepare = prepare
        self._answer = answer

    @torch.inference_mode()
    def __call__(self, examples: Examples) -> Encoded:
        """Encode one batch."""
        features, logits = self._answer(self._prepare(examples))
        probabilities = None if logits is None else logits.float().softmax(dim=1).cpu().numpy()
        return Encoded(features.float().cpu().numpy(), probabilities)


class SentenceEncoder:
    """A folder of sentence-transformers, which says itself how it pools.

    Args:
        folder: the folder.
        device: where the network goes.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        InputError: it cannot be loaded.
    """

    image_size = None
    classes = None

    def __init__(self, folder: str, device: torch.device | str) -> None:
        sentence_transformers = library("sentence_transformers", "embed")
        with _said_in_a_sentence(folder):
            self._network = sentence_transformers.SentenceTransformer(
                folder, device=str(device), model_kwargs={"use_safetensors": True}, **_SAFE
            )

    def __call__(self, examples: Examples) -> Encoded:
        """Texts -> features (b, d)."""
        return Encoded(np.asarray(self._network.encode(list(examples), show_progress_bar=False), dtype=np.float32))


def load_hugging_face(name: str, *, texts: bool, device: torch.device | str = "cpu") -> Encoder:
    """A saved model, by its folder or by its name on the hub, where transformers itself looks for it.

    A fine-tuned classifier gives the input of its last linear layer, and probabilities. Any other model gives, of
    images, the shared space of images and texts (CLIP and its kin), its trained pooling, its class token, or the mean
    over places; of texts, the shared space or the mean of the last layer over the tokens that are no padding.

    Args:
        name: the folder or the name.
        texts: whether it will be given texts.
        device: where the network goes.

    Raises:
        MissingExtra: transformers, or sentence-transformers for a folder of that kind, is not installed.
        InputError: no such model, or one that would need code or weights that are not there.
    """
    if texts and (Path(name) / "modules.json").is_file():
        return SentenceEncoder(name, device)
    transformers = library("transformers", "embed")
    with _said_in_a_sentence(name), _quiet(transformers):
        config = transformers.AutoConfig.from_pretrained(name, **_SAFE)
        if texts:
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, **_SAFE)
        else:
            processor = transformers.AutoImageProcessor.from_pretrained(name, **_SAFE)
        network, missing = _network(transformers, name, config, device)
    head = _head(network, config)
    answer = _plain(network, texts, trained_pooler=not missing) if head is None else _with_logits(network, head)
    classes = None if head is None else _class_names(config)
    if texts:
        return HuggingFaceEncoder(_tokens(tokenizer, config, device), answer, None, classes)
    return HuggingFaceEncoder(_pixels(processor, device), answer, _size(processor), classes)


def _network(library: Any, name: str, config: Any, device: torch.device | str) -> tuple[nn.Module, set[str]]:
    """The network, and which weights of its pooling layer the file lacks; no other weights may be missing."""
    kind = "AutoModel"
    if config.num_labels > 1 and config.problem_type in (None, "single_label_classification"):
        made_as = (config.architectures or [""])[0]
        kind = next((auto for ending, auto in _CLASSIFIERS.items() if made_as.endswith(ending)), kind)
    network, report = getattr(library, kind).from_pretrained(
        name, use_safetensors=True, output_loading_info=True, **_SAFE
    )
    missing = set(report["missing_keys"])
    random = sorted(key for key in missing if "pooler" not in key)
    if random:
        raise InputError(
            f"the weights of {name} lack {len(random)} of the network's, such as {random[0]}, which would be random."
        )
    return network.to(device).eval(), missing


def _head(network: nn.Module, config: Any) -> nn.Linear | None:
    """The last linear layer of a classifier; None for other networks."""
    if not any(type(network).__name__.endswith(ending) for ending in _CLASSIFIERS):
        return None
    heads = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == config.num_labels]
    return heads[-1] if heads else None


def _with_logits(network: nn.Module, head: nn.Linear) -> Callable[[Inputs], tuple[Tensor, Tensor | None]]:
    reached: list[Tensor] = []
    head.register_forward_pre_hook(lambda _, inputs: reached.append(inputs[0]))

    def answer(inputs: Inputs) -> tuple[Tensor, Tensor | None]:
        reached.clear()
        logits: Tensor = network(**inputs).logits
        return _pooled(reached[-1], inputs), logits

    return answer


def _plain(network: Any, texts: bool, *, trained_pooler: bool) -> Callable[[Inputs], tuple[Tensor, Tensor | None]]:
    shared = getattr(network, "get_text_features" if texts else "get_image_features", None)
    if network.config.is_encoder_decoder and shared is None:
        network = network.get_encoder()
    class_token = any(name.endswith("cls_token") for name, _ in network.named_parameters())

    def answer(inputs: Inputs) -> tuple[Tensor, Tensor | None]:
        if shared is not None:
            made = shared(**inputs)
            return (made if isinstance(made, Tensor) else made.pooler_output), None
        made = network(**inputs)
        last: Tensor = made.last_hidden_state
        pooled: Tensor | None = None if texts else getattr(made, "pooler_output", None)
        if trained_pooler and pooled is not None:
            return pooled.flatten(1), None
        return (last[:, 0] if class_token and not texts else _pooled(last, inputs)), None

    return answer


def _pooled(hidden: Tensor, inputs: Inputs) -> Tensor:
    """(b, d) as it is; the mean of (b, tokens, d), of texts without padding; the mean over (b, d, h, w)."""
    if hidden.ndim == 3 and "attention_mask" in inputs:
        there = inputs["attention_mask"].unsqueeze(2).to(hidden.dtype)  # (b, tokens, 1)
        return (hidden * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
    if hidden.ndim == 3:
        return hidden.mean(dim=1)
    return hidden.mean(dim=(2, 3)) if hidden.ndim == 4 else hidden


def _pixels(processor: Any, device: torch.device | str) -> Callable[[Examples], Inputs]:
    def prepare(images: Examples) -> Inputs:
        colored = np.broadcast_to(np.asarray(images), (*np.shape(images)[:3], 3))
        batch = processor(images=list(colored.copy()), input_data_format="channels_last", return_tensors="pt")
        return {key: values.to(device) for key, values in batch.items()}

    return prepare


def _tokens(tokenizer: Any, config: Any, device: torch.device | str) -> Callable[[Examples], Inputs]:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = tokenizer.pad_token_id
    places = getattr(getattr(config, "text_config", config), "max_position_embeddings", None) or _LONGEST
    longest = min(tokenizer.model_max_length, places)

    def prepare(texts: Examples) -> Inputs:
        batch = tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        return {key: values.to(device) for key, values in batch.items()}

    return prepare


def _size(processor: Any) -> tuple[int, int] | None:
    """What images are resized to before anything is cut off."""
    for name in ("size", "crop_size"):
        size = getattr(processor, name, None) or {}
        values = {key: size.get(key) if hasattr(size, "get") else None for key in ("height", "width", "shortest_edge")}
        if values["height"] and values["width"]:
            return int(values["height"]), int(values["width"])
        if values["shortest_edge"]:
            return int(values["shortest_edge"]), int(values["shortest_edge"])
    return None


def _class_names(config: Any) -> tuple[str, ...] | None:
    """The names that a model was given; transformers' own LABEL_0, LABEL_1, ... are none."""
    names = tuple(str(config.id2label[j]) for j in range(config.num_labels))
    return None if names == tuple(f"LABEL_{j}" for j in range(len(names))) else names


@contextmanager
def _said_in_a_sentence(name: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, ImportError, SafetensorError) as reason:
        first = str(reason).strip().splitlines() or [type(reason).__name__]
        raise InputError(
            f"the model {name} cannot be loaded: {first[0].rstrip('.')}. A folder needs config.json, "
            "model.safetensors and the files of its image processor or tokenizer."
        ) from reason


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without progress bars and reports; what matters of them is checked here."""
    settings = library.utils.logging
    level, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity(logging.ERROR)
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(level)
        if bars:
            settings.enable_progress_bar()
