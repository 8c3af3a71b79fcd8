"""Makes, reads and writes the low-rank adapters of MiniLM while they are trained: safetensors, matrices in float16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from assistant import weights
from assistant.errors import EvaluationError

_PEFT = "model.base_model.model."  # what peft puts before the names of a module called `model`


def minilm(rank: int, alpha: int) -> Any:
    """Return MiniLM with a fresh adapter, which changes nothing yet; its own weights stay as they are."""
    from peft import LoraConfig, get_peft_model
    from transformers import BertModel

    model = BertModel.from_pretrained(
        weights.bundled(weights.EMBEDDER).path.parent,
        add_pooling_layer=False,
        attn_implementation="eager",  # the fused attention is slow backwards
    )
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=["query", "key", "value", "dense"])
    return get_peft_model(model, config).eval()  # no dropout: it costs more here than it brings


def trained(network: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Return the parameters that training changes, with their names."""
    return [(key, parameter) for key, parameter in network.named_parameters() if parameter.requires_grad]


def save(network: torch.nn.Module, out: Path) -> Path:
    """Write the adapter for `minilm.adapted`, matrices in float16, whole or not at all."""
    from safetensors.numpy import save as serialized

    kept = {_name(key): p.detach().squeeze(0) if key == "cls.weight" else p.detach() for key, p in trained(network)}
    made = {k: v.numpy().astype(np.float32 if v.ndim == 1 else np.float16) for k, v in kept.items()}
    part = out.with_suffix(".part")
    part.write_bytes(serialized(made))
    part.replace(out)
    return out


def _name(key: str) -> str:
    """Return the name that a parameter has in the file."""
    if "lora_" not in key:
        return {"cls.weight": "cls", "cls.bias": "bias"}.get(key, key)
    name, side = key.removeprefix(_PEFT).split(".lora_")
    return f"{name}.weight.lora_{side[0].lower()}"


def resume(network: torch.nn.Module, start: Path, keep: float = 1.0) -> None:
    """Give the network's adapter the values of an earlier one of the same rank, or so large a share of them.

    Raises EvaluationError.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        values = load_file(start)
        for key, parameter in trained(network):
            known = torch.from_numpy(values[_name(key)].astype(np.float32))
            parameter.data.lerp_(known.reshape(parameter.shape), keep)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise EvaluationError(f"{start} does not fit ({error}); expected an adapter of the same rank") from error
