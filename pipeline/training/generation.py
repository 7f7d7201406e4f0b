"""Generation: a few greedy answers while a model is being trained, to show what it has learned so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, Any]]


def answer_greedily(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: list[Messages], *, max_new_tokens: int
) -> list[tuple[str, str]]:
    """Each prompt's last message with the model's likeliest answer; the model's mode is left as it was."""
    was_training = model.training
    model.eval()
    answers = [
        (prompt[-1]["content"], _answer(model, tokenizer, prompt, max_new_tokens)) for prompt in prompts if prompt
    ]
    model.train(was_training)
    return answers


def _answer(model: Any, tokenizer: PreTrainedTokenizerBase, prompt: Messages, max_new_tokens: int) -> str:
    import torch

    rendered: Any = tokenizer.apply_chat_template(
        prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids = rendered["input_ids"].to(model.device)  # (1, T)
    with torch.no_grad():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    return str(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)).strip()
