"""Loading: a tokenizer or a model by local folder or Hugging Face id, safely, and with errors that say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import BadModel
from pipeline.model_folder import ModelManifest, base_of, read_manifest

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?(@[\w.-]{1,64})?")
PICKLED_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@dataclass(frozen=True)
class ResolvedModel:
    """Where a model's weights are.

    Args:
        name: The model as it was asked for, a folder or a Hugging Face id.
        base: The folder or id whose weights are loaded first; the model itself unless it is an adapter.
        adapter: The folder of the adapter on top of the base, or None.
        manifest: What `hone.json` says of the model, or None where it did not come from Hone.
    """

    name: Path | str
    base: Path | str
    adapter: Path | None
    manifest: ModelManifest | None


def resolve_model(model: str | Path) -> ResolvedModel:
    """Find the weights that `model` stands for, following an adapter to its base.

    Raises:
        BadModel: if it is neither a usable folder nor shaped like a Hugging Face id.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if not HUB_ID.fullmatch(str(model)):
            raise BadModel(
                f"There is no model folder at {str(model)!r}.",
                "Choose a model from the list, a folder that exists, or a Hugging Face id such as owner/name.",
            )
        return ResolvedModel(name=str(model), base=str(model), adapter=None, manifest=None)
    folder = folder.resolve()
    manifest = read_manifest(folder)
    if not (folder / "adapter_config.json").is_file():
        _require_safetensors(folder, "config.json")
        return ResolvedModel(name=folder, base=folder, adapter=None, manifest=manifest)
    _require_safetensors(folder, "adapter_config.json")
    return ResolvedModel(name=folder, base=_base_of_adapter(folder), adapter=folder, manifest=manifest)


def load_tokenizer(model: str | Path) -> PreTrainedTokenizerBase:
    """The model's own tokenizer, with its chat template; an adapter's own where it has one, else its base's.

    A tokenizer without a padding token pads with its end-of-text token.
    """
    from transformers import AutoTokenizer

    found = resolve_model(model)
    has_own = found.adapter is not None and (found.adapter / "tokenizer_config.json").is_file()
    source = found.adapter if found.adapter is not None and has_own else found.base
    with _explained(source):
        tokenizer = AutoTokenizer.from_pretrained(**_address(source), trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    model: str | Path,
    *,
    device: str = "cpu",
    dtype: Dtype = "auto",
    for_training: bool = False,
    quantization: Any = None,
) -> PreTrainedModel | PeftModel:
    """Load a causal language model onto `device`.

    Args:
        model: A folder (full, adapter or quantized) or a Hugging Face id.
        dtype: What the weights are cast to; "auto" keeps the type in which they were saved.
        for_training: Leave an adapter's weights trainable; otherwise the model comes in evaluation mode.
        quantization: A `BitsAndBytesConfig` under which the base's weights are read.

    Returns:
        The model itself, or for an adapter a `PeftModel` on its base.
    """
    found = resolve_model(model)
    loaded: Any = load_base(found.base, device=device, dtype=dtype, quantization=quantization)
    if found.adapter is not None:
        loaded = _put_adapter_on(loaded, found.adapter, device=device, for_training=for_training)
    return loaded.train(for_training)


def load_base(
    base: str | Path, *, device: str = "cpu", dtype: Dtype = "auto", quantization: Any = None
) -> PreTrainedModel:
    """Load weights that are not an adapter: what several adapters of one family can share in memory."""
    from transformers import AutoModelForCausalLM

    # Named only where it is given: None would wipe out what the folder of a quantized model says of itself.
    quantized = {} if quantization is None else {"quantization_config": quantization}
    with _explained(base):
        return AutoModelForCausalLM.from_pretrained(
            **_address(base),
            **quantized,
            dtype=dtype,
            device_map={"": device},
            use_safetensors=True,
            trust_remote_code=False,
        )


def context_length_of(model: PreTrainedModel | PeftModel) -> int | None:
    """How many tokens the model can read at once, where its configuration says so."""
    length: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return length


def context_length_at(model: str | Path) -> int | None:
    """The same for a model whose weights are not loaded.

    Raises:
        BadModel: if the model or its configuration cannot be found.
    """
    from transformers import AutoConfig

    base = resolve_model(model).base
    with _explained(base):
        config = AutoConfig.from_pretrained(**_address(base), trust_remote_code=False)
    length: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return length


def _put_adapter_on(base: PreTrainedModel, adapter: Path, *, device: str, for_training: bool) -> PeftModel:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(base, str(adapter), is_trainable=for_training, torch_device=device)
    except (RuntimeError, ValueError, KeyError) as error:
        raise BadModel(
            f"The adapter in {adapter} does not fit its base: {_first_line(error)}",
            "Its base was replaced or the folder is damaged; restore the base it was trained on, or train again.",
        ) from error


def _base_of_adapter(adapter: Path) -> Path | str:
    base = base_of(adapter)
    if base is None:
        raise BadModel(f"The adapter in {adapter} does not say which base it stands on.", "Import it with its base.")
    if isinstance(base, str):
        if not HUB_ID.fullmatch(base):
            raise BadModel(
                f"The adapter in {adapter} stands on {base!r}, and there is no such folder.",
                "Put the base back at that place, or train the adapter again on a base that exists.",
            )
        return base
    if (base / "adapter_config.json").is_file():
        raise BadModel(
            f"The adapter in {adapter} stands on another adapter, {base.name}.",
            "Merge that one into its base first; an adapter stands on a whole model.",
        )
    _require_safetensors(base, "config.json")
    return base


def _require_safetensors(folder: Path, config_name: str) -> None:
    """Refuse a folder that is not a model, and one whose weights are pickles, which run code when read."""
    if not (folder / config_name).is_file():
        raise BadModel(
            f"{folder} has no {config_name}, so it is not a model folder.",
            "Choose the folder that holds config.json and the .safetensors files.",
        )
    if any(folder.glob("*.safetensors")):
        return
    pickled = [path.name for pattern in PICKLED_WEIGHTS for path in folder.glob(pattern)]
    if pickled:
        raise BadModel(
            f"{folder} holds its weights as {pickled[0]}, a format that can run code when it is read.",
            "Convert the model to .safetensors on a machine that trusts it, then import that.",
        )
    raise BadModel(f"{folder} has no .safetensors file.", "Copy the weights into it, or download the model again.")


def _address(source: Path | str) -> dict[str, str]:
    """The arguments that name `source` to transformers; `owner/name@revision` pins a revision of the hub."""
    if isinstance(source, Path) or "@" not in source:
        return {"pretrained_model_name_or_path": str(source)}
    name, revision = source.split("@", 1)
    return {"pretrained_model_name_or_path": name, "revision": revision}


@contextmanager
def _explained(source: Path | str) -> Iterator[None]:
    """Turn the libraries' loading errors into `BadModel`."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, json.JSONDecodeError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(source, str):
            raise
        raise _bad_model(source, error) from error


def _bad_model(source: Path | str, error: BaseException) -> BadModel:
    if isinstance(source, Path):
        return BadModel(
            f"The model in {source} cannot be loaded: {_first_line(error)}",
            "The folder may be damaged or incomplete; restore it, or choose another model.",
        )
    causes = {type(cause).__name__ for cause in _chain(error)}
    if causes & {"GatedRepoError"}:
        return BadModel(
            f"{source} is gated: its owner asks for a licence to be accepted first.",
            "Accept it on huggingface.co, then start Hone with your token in the environment variable HF_TOKEN.",
        )
    if causes & {"RepositoryNotFoundError", "RevisionNotFoundError", "HFValidationError"}:
        return BadModel(
            f"Hugging Face has no model that you may read under {source!r}.",
            "Check the spelling (owner/name); a private model needs HF_TOKEN in the environment.",
        )
    if causes & {
        "ConnectionError",
        "ConnectError",
        "ConnectTimeout",
        "LocalEntryNotFoundError",
        "OfflineModeIsEnabled",
    }:
        return BadModel(
            f"{source!r} is not a folder here, and huggingface.co cannot be reached to fetch it.",
            "Choose a model from the list or a local folder, or connect this machine to the network and retry.",
        )
    if "safetensors" in str(error):
        return BadModel(
            f"{source} has no .safetensors weights; other formats can run code when they are read.",
            "Choose a model, or a revision of it (owner/name@revision), that has them.",
        )
    return BadModel(f"{source} cannot be loaded: {_first_line(error)}", "Check that it is a causal language model.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
