"""What this machine computes fastest in, what it is called, and how much of its memory is used."""

import os
import platform
import sys
from pathlib import Path
from typing import Literal

import torch

from ssl_zoo.errors import InputError


def check_accelerator(accelerator: object) -> None:
    """Refuses a GPU that is asked for where there is none.

    Args:
        accelerator: the Trainer's.

    Raises:
        InputError: PyTorch finds no GPU of this kind.
    """
    has_gpu = torch.cuda.is_available() or (accelerator == "gpu" and torch.backends.mps.is_available())
    if accelerator in ("gpu", "cuda") and not has_gpu:
        raise InputError(
            f"trainer.accelerator is {accelerator}, but PyTorch finds no GPU on this machine: leave it out, or the "
            "file that sets it, such as gpu.yaml."
        )


def check_processes(accelerator: object, number: int) -> None:
    """Refuses more processes on a machine's CPU than it has cores: each has the data and the network in its memory.

    Args:
        accelerator: the Trainer's.
        number: processes that are to run on this machine.

    Raises:
        InputError: they are to share the cores of a CPU, and there are fewer.
    """
    on_cpu = accelerator == "cpu" or (accelerator in (None, "auto") and not torch.cuda.is_available())
    if on_cpu and number > (cores := usable_cores()):
        raise InputError(
            f"trainer.devices is {number}, which on a CPU is as many processes with the data and the network in memory "
            f"each, and {cores} cores may be used here: give at most {cores}, or leave it out."
        )


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


def peak_memory(device: torch.device) -> int:
    """The most bytes this process has had in use since it started: tensors on a GPU, else its main memory.

    Args:
        device: a GPU to ask about; any other device means main memory. 0 where the system does not say (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes there, kibibytes elsewhere


def hardware_name(device: torch.device) -> str:
    """What a device is called, such as `NVIDIA H200`, or for CPUs their model and how many cores may be used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {usable_cores()} cores"


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def autocast_type(kind: str) -> torch.dtype | None:
    """What autocast computes matrix products in now on a kind of device, such as `cuda`; None where it is off."""
    # Not `torch.amp.is_autocast_available`, which `torch.compile` cannot trace.
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)
