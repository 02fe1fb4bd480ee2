"""Published models of text and speech of the transformers library: loaded whole, or refused in a sentence."""

import logging
from typing import Any

import torch

from ssl_zoo.encoders.weights import Pretrained
from ssl_zoo.errors import InputError


def load_model(architectures: list[Any], source: Pretrained, **settings: Any) -> Any:
    """A published model in float32, in training mode.

    Args:
        architectures: classes of the transformers library that will do.
        source: the model's name on the Hugging Face Hub, or a folder; or what `remember` made of them, for a model with
            random weights.
        **settings: arguments of the model and changes to its configuration.

    Raises:
        InputError: it cannot be read, is of another architecture or lacks weights.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig

    by_type = {architecture.config_class.model_type: architecture for architecture in architectures}
    if isinstance(source, dict):
        config = AutoConfig.for_model(**source["architecture"])
        for name in [name for name in settings if hasattr(config, name)]:
            setattr(config, name, settings.pop(name))
        return by_type[config.model_type](config, **settings)
    wanted = " or ".join(by_type)
    reporter = logging.getLogger("transformers.modeling_utils")
    level = reporter.level
    try:
        found = AutoConfig.from_pretrained(source).model_type
        if found in by_type:
            reporter.setLevel(logging.ERROR)  # it reports heads that the file has and an encoder does not
            model, report = by_type[found].from_pretrained(
                source, dtype=torch.float32, output_loading_info=True, **settings
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"pretrained: the model {source} cannot be loaded; give the name of a published {wanted} model or a folder "
            f"with its config.json and model.safetensors ({reason})."
        ) from error
    finally:
        reporter.setLevel(level)
    if found not in by_type:
        raise InputError(f"pretrained: {source} is a {found} model and this encoder reads {wanted}; choose another.")
    if report["missing_keys"]:
        raise InputError(f"pretrained: {source} has no weights for {min(report['missing_keys'])}; get the file anew.")
    return model.train()
