"""Fine-tuning and MMLU, slow and obvious: one row at a time, nothing of trl, peft or lm-eval."""

import math

import torch


def finetuned(network, rows, *, epochs, lr, weight_decay, betas, max_grad_norm):
    """Weights after full-batch AdamW on (tokens, first token of the response), one step an epoch."""
    network.train()
    decayed = [one for one in network.parameters() if one.ndim > 1]
    plain = [one for one in network.parameters() if one.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}], lr=lr, betas=betas
    )
    losses = []
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
        optimizer.zero_grad()
        total, count = torch.zeros(()), 0
        for tokens, begins in rows:
            scores = network(input_ids=torch.tensor([tokens])).logits[0].log_softmax(dim=-1)
            for place in range(begins, len(tokens)):
                total = total - scores[place - 1, tokens[place]]
                count += 1
        loss = total / count
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), max_grad_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def mmlu_log_likelihoods(network, tokenizer, subject, question, examples):
    """log p(" A" | prompt) ... log p(" D" | prompt), each by a forward pass of its own; and the longest text's tokens.

    question and examples: (question, (A, B, C, D), answer's place).
    """

    def put(text, choices):
        lines = [text.strip(), *(f"{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True))]
        return "\n".join([*lines, "Answer:"])

    prompt = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    for text, choices, answer in examples:
        prompt += f"{put(text, choices)} {'ABCD'[answer]}\n\n"
    prompt += put(question[0], question[1])
    room = network.config.max_position_embeddings
    found, size = [], 0
    for letter in "ABCD":
        before, tokens = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} {letter}")["input_ids"]
        said, size = len(tokens) - len(before), max(size, len(tokens))
        tokens = tokens[-(room + 1) :]
        scores = network(input_ids=torch.tensor([tokens[:-1]])).logits[0].double().log_softmax(dim=-1)
        places = range(len(tokens) - said, len(tokens))
        found.append(sum(scores[place - 1, tokens[place]].item() for place in places))
    return found, size
