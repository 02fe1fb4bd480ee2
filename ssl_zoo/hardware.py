"""What this machine computes fastest in."""

from typing import Literal

import torch


def fastest_precision(accelerator: str = "auto") -> Literal["bf16-mixed", "32-true"]:
    """Mixed bfloat16 where the hardware multiplies it natively, float32 elsewhere.

    GPUs do from NVIDIA's Ampere on; CPUs with AMX or AVX512-BF16 do, while others emulate it slowly.

    Args:
        accelerator: the Trainer's; `cpu` ignores a GPU.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return "bf16-mixed" if native else "32-true"
