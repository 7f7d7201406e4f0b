"""What a person would write without Hone: TRL's SFT on a local model and file, with the settings of a job file.

    python bench/bare_trl.py JOB.json OUT

Prints one JSON object: when the first optimizer step ended (seconds since 1970), and the seconds a step after it.
"""

import json
import sys
import time

from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class StepTimes(TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ended_at: list[float] = []

    def on_step_end(self, args, state, control, **kwargs) -> None:  # type: ignore[no-untyped-def]
        self.ended_at.append(time.time())


def main() -> None:
    with open(sys.argv[1]) as file:  # noqa: PTH123
        job = json.load(file)
    times = StepTimes()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        train_dataset=load_dataset("json", data_files=job["dataset"], split="train"),
        peft_config=LoraConfig(
            r=job["lora_rank"], lora_alpha=job["lora_alpha"], target_modules=job["lora_targets"], task_type="CAUSAL_LM"
        ),
        args=SFTConfig(
            output_dir=sys.argv[2],
            max_steps=job["max_steps"],
            learning_rate=job["learning_rate"],
            per_device_train_batch_size=job["batch_size"],
            gradient_accumulation_steps=job["gradient_accumulation"],
            max_length=job["max_length"],
            packing=job["packing"],
            assistant_only_loss=True,
            lr_scheduler_type=job["schedule"],
            warmup_steps=job["warmup_share"],
            gradient_checkpointing=False,
            bf16=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=job["seed"],
            use_cpu=True,
        ),
        callbacks=[times],
    )
    trainer.train()
    trainer.save_model()
    first, last = times.ended_at[0], times.ended_at[-1]
    print(
        json.dumps(
            {
                "first_step_at": first,
                "seconds_per_step": (last - first) / (len(times.ended_at) - 1),
            }
        )
    )


if __name__ == "__main__":
    main()
