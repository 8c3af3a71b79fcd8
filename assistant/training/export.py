"""Writes a trained adapter as the GGUF that llama.cpp loads. Knows both naming schemes, and nothing of training."""

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
