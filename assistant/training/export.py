"""A reader's adapter as the GGUF that llama.cpp loads, and back. Knows both naming schemes, and nothing of training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import EvaluationError

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
HEADS, KV_HEADS = 9, 3  # of SmolLM2-135M
_KEY = re.compile(r"layers\.(\d+)\.([\w.]+?)\.lora_([AB])\.")


def paired(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Return the output rows of a query or key matrix in llama.cpp's order.

    transformers keeps the two halves of a head's rotary pairs apart, llama.cpp keeps each pair together.
    """
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def unpaired(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Return what `paired` was given."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def write_gguf(tensors: dict[str, Any], alpha: float, out: Path) -> None:
    """Write LoRA tensors under transformers' names as a GGUF adapter, in float16, whole or not at all."""
    from gguf import GGUFWriter

    part = out.with_name(out.name + ".part")
    writer = GGUFWriter(part, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for key, tensor in tensors.items():
        match = _KEY.search(key)
        if not match:
            raise EvaluationError(f"{key} is no LoRA tensor of this model; expected layers.N.….lora_A or lora_B")
        layer, name, side = match.groups()
        rows = tensor.float().numpy()
        if side == "B" and name.endswith(("q_proj", "k_proj")):
            rows = paired(rows, HEADS if name.endswith("q_proj") else KV_HEADS)
        writer.add_tensor(f"blk.{layer}.{NAMES[name]}.weight.lora_{side.lower()}", rows.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(out)


def read_gguf(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the LoRA tensors of a GGUF adapter under transformers' names, "layers.N.….lora_A" or "lora_B".

    Raises EvaluationError.
    """
    from gguf import GGUFReader

    names = {short: long for long, short in NAMES.items()}
    found = {}
    try:
        for tensor in GGUFReader(path).tensors:
            _, layer, short, _, side = tensor.name.split(".")
            rows = np.array(tensor.data, dtype=np.float32)
            if side == "lora_b" and short in ("attn_q", "attn_k"):
                rows = unpaired(rows, HEADS if short == "attn_q" else KV_HEADS)
            found[f"layers.{layer}.{names[short]}.lora_{side[-1].upper()}"] = rows
    except (OSError, ValueError, KeyError) as error:
        raise EvaluationError(
            f"cannot read {path} ({error}); expected an adapter that the reader's training wrote"
        ) from error
    return found
