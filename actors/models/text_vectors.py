"""Text vectors from the text part of a transformers model. Runs on the driver, and where a Python caller creates a
predictor; no code comes from a checkpoint or a hub.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from actors.errors import JobError
from actors.messages import one_line
from actors.models.checkpoints import read_state_dict
from actors.models.text_head import TextHead
from actors.models.transformers_networks import load_whole, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.models.sources.text_source import TextSource


def embed_texts(source: TextSource, texts: Sequence[Sequence[str]]) -> TextHead:
    """Embeds the texts of each class: the mean of their unit vectors, normalised to unit length again (CLIP,
    https://arxiv.org/abs/2103.00020, section 3.1.4).

    Args:
        source: model and tokenizer.
        texts: one or more for each class.

    Raises:
        JobError: model or tokenizer cannot be loaded, or a text is too long for them.
    """
    model = source.model
    network = load_whole(str(model.architecture), model.kwargs, read_state_dict(model), model.where).eval()
    config = network.config
    is_sigmoid = config.model_type == _SIGLIP
    flat = [text for own in texts for text in own]
    tokens = _tokens(source, flat, config.text_config.max_position_embeddings, is_padded=is_sigmoid)
    with torch.inference_mode():
        vectors = [
            _unit(_pooled(network, {name: ids[start : start + _BATCH] for name, ids in tokens.items()}))
            for start in range(0, len(flat), _BATCH)
        ]
        by_class = torch.split(torch.cat(vectors), [len(own) for own in texts])
        means = _unit(torch.stack([own.mean(dim=0) for own in by_class]))
        scale = network.logit_scale.exp().item()
        bias = network.logit_bias.item() if is_sigmoid else 0.0
    return TextHead(means.numpy(), scale, bias, is_sigmoid, _digest(network.state_dict(), tokens))


_SIGLIP = "siglip"
_BATCH = 64


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1, eps=0)


def _pooled(network: Any, tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
    returned = network.get_text_features(**tokens)
    # transformers 4 returns the vectors themselves.
    vectors: torch.Tensor = returned if isinstance(returned, torch.Tensor) else returned.pooler_output
    return vectors


def _tokens(source: TextSource, texts: Sequence[str], longest: int, *, is_padded: bool) -> dict[str, torch.Tensor]:
    """Returns the tokenized texts. SigLIP was trained on texts padded to full length, and reads their padding."""
    tokenizer = _tokenizer(source)
    lengths = [len(ids) for ids in tokenizer(list(texts))["input_ids"]]
    if max(lengths) > longest:
        text = texts[lengths.index(max(lengths))]
        raise JobError(
            f"task.prompts: {text!r} has {max(lengths)} tokens, and the model reads {longest}", fix="shorten it"
        )
    padding = {"padding": "max_length", "max_length": longest} if is_padded else {"padding": True}
    return dict(tokenizer(list(texts), return_tensors="pt", **padding))


def _tokenizer(source: TextSource) -> Any:
    transformers = importlib.import_module("transformers")  # already loaded with the network
    with tempfile.TemporaryDirectory() as folder, quiet():
        for name, data in source.tokenizer.items():
            (Path(folder) / name).write_bytes(data)
        # The model type, by which transformers finds the tokenizer class if the tokenizer does not name it.
        network_class = getattr(transformers, str(source.model.architecture).partition(":")[2])
        network_class.config_class.from_dict(source.model.kwargs).save_pretrained(folder)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        except Exception as error:
            raise JobError(
                f"{source.where}: its tokenizer cannot be loaded: {type(error).__name__}: {one_line(error)}",
                fix="save it again with tokenizer.save_pretrained, or pip install sentencepiece if it needs that",
            ) from error
    taken = inspect.signature(network_class.get_text_features).parameters
    tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in taken]
    return tokenizer


def _digest(weights: Mapping[str, torch.Tensor], tokens: Mapping[str, torch.Tensor]) -> str:
    """Returns the SHA-256 of everything that determines the vectors: weights and tokens. Machines round the vectors
    differently.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted({**weights, **tokens}.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
