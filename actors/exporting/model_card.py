"""The model card of a bundle: README.md with front matter for Hugging Face. Runs where a bundle is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.models.bundle_files import Bundle


def model_card(bundle: Bundle, name: str, table: Sequence[str]) -> str:
    """Returns the card of ``bundle``.

    Args:
        bundle: the bundle's record.
        name: title of the card.
        table: lines of the parity table.
    """
    library = {"timm": "timm", "transformers": "transformers"}.get((bundle.architecture or "").partition(":")[0])
    tags = ["shardlens", *(["onnx"] if "onnx" in bundle.forms else []), *(["openvino"] * ("openvino" in bundle.forms))]
    front = [
        *([f"library_name: {library}"] if library else []),
        f"pipeline_tag: {_PIPELINES.get(str(bundle.task['name']), 'image-feature-extraction')}",
        "tags:",
        *(f"- {tag}" for tag in tags),
    ]
    forms = [
        f"| `{name}` | {form.precision} | {', '.join(f'`{file}`' for file in form.files)} | {_shapes(form.inputs)} | "
        f"{_shapes(form.outputs)} |"
        for name, form in sorted(bundle.forms.items())
    ]
    lines = [
        "---", *front, "---", "",
        f"# {name}", "",
        f"Architecture: `{bundle.architecture}`. Fingerprint: `{bundle.fingerprint}`." if bundle.architecture
        else f"Fingerprint: `{bundle.fingerprint}`.", "",
        "| Form | Precision | Files | Input | Outputs |", "| --- | --- | --- | --- | --- |", *forms, "",
        "## Use", "",
        "    python -m jobs.batch_infer +dataset=images dataset.path=PHOTOS model.source=DIR", "",
        _PIXELS, "",
        "## Parity", "",
        "Answers of each form next to those of the reference, on real images:", "",
        *(f"    {line}" for line in table), "",
        "`golden/` holds some of the images with the reference's outputs.", "",
    ]  # fmt: skip
    return "\n".join(lines)


_PIXELS = (
    "Graphs with uint8 input take RGB pixels at the input size, and normalise them inside. Others take pixels that are "
    "normalised as `bundle.json` says under `preprocess`."
)
_PIPELINES = {"classify": "image-classification", "detect": "object-detection", "segment": "image-segmentation"}


def _shapes(tensors: Sequence[dict[str, Any]]) -> str:
    return ", ".join(
        f"`{one['name']}` {one['dtype']} ({', '.join('n' if side is None else str(side) for side in one['shape'])})"
        for one in tensors
    )
