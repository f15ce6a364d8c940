"""The texts that represent the classes of a zero-shot classifier. Read where the task is prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.models.labels import read_names

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_prompts(given: Any, templates: Sequence[str], storage_options: dict[str, str]) -> dict[str, list[str]]:
    """Returns the texts of each class, by label.

    Args:
        given: ``task.prompts``: labels as a list or a file, from which ``templates`` make texts, or a mapping from
            labels to a text or a list of texts, which are used unchanged.
        templates: texts with ``{}`` in place of the label.
        storage_options: settings for the store of a file.

    Raises:
        JobError: there are no prompts, or they do not have this form.
    """
    if isinstance(given, Mapping):
        texts = {str(label): _texts(label, own) for label, own in given.items()}
    else:
        labels = read_names(given, "task.prompts", storage_options) or []
        _check_templates(templates)
        texts = {label: [template.replace("{}", label) for template in templates] for label in labels}
        if len(texts) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise JobError(f"task.prompts: names {twice} twice", fix="name each class once")
    if not texts:
        raise JobError(
            "task.prompts is not given, and task=zero_shot chooses among them",
            fix="give labels, such as task.prompts=[cat,dog], a file with one per line, or texts by label",
        )
    return texts


def _texts(label: object, own: Any) -> list[str]:
    texts = [own] if isinstance(own, str) else list(own) if isinstance(own, list | tuple) else []
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise JobError(
            f"task.prompts: {label} has {own!r}, not a text or a list of texts",
            fix='give texts by label, such as {cat: ["a photo of a cat", "a kitten"], dog: ["a photo of a dog"]}',
        )
    return texts


def _check_templates(templates: Sequence[str]) -> None:
    odd = next((template for template in templates if "{}" not in template), None)
    if odd is not None or not templates:
        raise JobError(
            f"task.templates: {'is empty' if odd is None else f'{odd!r} has no place for the label'}",
            fix='write {} in place of the label, as in "a photo of a {}."',
        )
