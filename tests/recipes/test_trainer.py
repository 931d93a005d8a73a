import itertools

import torch
from transformers import Trainer, TrainingArguments

from goodgrain.losses import taufe
from goodgrain.models import Penultimate
from recipes.toys import accuracy, ood_images, ood_loader, own_images, program, same, squared_length, vit, weights_of

QUIET = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "logging_strategy": "no"}
RECIPE = {"learning_rate": 1e-2, "lr_scheduler_type": "constant", "per_device_train_batch_size": 16, "use_cpu": True}


def trained(folder, weight, *, epochs=3, ood=None, **arguments):
    """The guide's Trainer after training, and its OOD batches; for the weight None a Trainer as it comes."""
    torch.manual_seed(0)
    model, kind = vit(), Trainer
    names = {"itertools": itertools, "taufe": taufe, "Penultimate": Penultimate, "Trainer": Trainer}
    names |= {"model": model, "ood_loader": ood or ood_loader(), "__name__": __name__}
    if weight is not None:
        exec(program("Hugging Face Trainer", weight), names)
        kind = names["TaufeTrainer"]
    rows = [{"pixel_values": image, "labels": label} for image, label in zip(*own_images(), strict=True)]
    asked = TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, seed=0, **{**QUIET, **RECIPE, **arguments}
    )
    trainer = kind(model=model, args=asked, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    return trainer, names.get("ood_batches")


def test_weight_0_is_the_trainer_without_the_added_lines_to_the_bit(tmp_path):
    expected = weights_of(trained(tmp_path, None)[0].model)
    assert same(expected, weights_of(trained(tmp_path, 0.0)[0].model))
    assert not same(expected, weights_of(trained(tmp_path, 0.1)[0].model))


def test_features_of_ood_images_go_out_and_accuracy_stays(tmp_path):
    lengths = {}
    for weight in (0.0, 0.1):
        model = trained(tmp_path, weight, epochs=20)[0].model
        assert accuracy(model) == 1.0
        lengths[weight] = squared_length(model)
    assert lengths[0.1] < lengths[0.0] / 10


def test_the_head_gets_no_gradient(tmp_path):
    one_step = {"max_steps": 1, "optim": "sgd", "max_grad_norm": 0.0}
    without, with_penalty = (trained(tmp_path, weight, **one_step)[0].model for weight in (0.0, 10.0))
    assert same(without.classifier.state_dict(), with_penalty.classifier.state_dict())
    assert not same(without.state_dict(), with_penalty.state_dict())


def test_evaluation_looks_at_no_ood_images(tmp_path):
    trainer, ood_batches = trained(tmp_path, 0.1, epochs=1)
    _, untouched = trained(tmp_path, 0.1, epochs=1)
    trainer.evaluate()
    assert torch.equal(next(ood_batches), next(untouched))


def test_accumulated_gradients_want_a_divided_weight(tmp_path):
    # 32 images at once, or 16 and 16 with the guide's division: the same step where OOD batches are all the same
    step = {"max_steps": 1, "optim": "sgd", "max_grad_norm": 0.0, "ood": [ood_images()]}
    at_once = trained(tmp_path, 5.0, per_device_train_batch_size=32, **step)[0]
    divided = "5.0 / self.args.gradient_accumulation_steps"
    by_halves = trained(tmp_path, divided, gradient_accumulation_steps=2, **step)[0]
    for name, value in weights_of(at_once.model).items():
        assert torch.allclose(value, weights_of(by_halves.model)[name], atol=1e-6)
    undivided = trained(tmp_path, 5.0, gradient_accumulation_steps=2, **step)[0]
    name = "vit.layernorm.bias"
    assert not torch.allclose(weights_of(at_once.model)[name], weights_of(undivided.model)[name], atol=1e-4)
