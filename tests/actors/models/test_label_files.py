from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from actors.errors import JobError
from actors.models.label_files import labels_in
from actors.models.labels import read_labels

if TYPE_CHECKING:
    from pathlib import Path

    from actors.models.spec import Model

NAMES = ["tench, Tinca tinca", "goldfish", "great white shark"]


@pytest.mark.parametrize(
    "content",
    [
        NAMES,
        [{"id": number, "name": name, "supercategory": "fish"} for number, name in enumerate(NAMES)],
        {str(number): name for number, name in enumerate(NAMES)},
        {name: number for number, name in reversed(list(enumerate(NAMES)))},
        {str(number): [f"n0{number}", name] for number, name in enumerate(NAMES)},  # Keras
        {"model_type": "vit", "id2label": {str(number): name for number, name in enumerate(NAMES)}},
        {"label2id": {name: number for number, name in enumerate(NAMES)}},
        {"nc": 3, "names": dict(enumerate(NAMES))},  # Ultralytics
        {"label_names": NAMES},
    ],
)
@pytest.mark.parametrize("name", ["x.json", "x.yaml", "x.yml"])
def test_json_and_yaml_hold_names_in_many_shapes(content: object, name: str) -> None:
    # JSON is also YAML.
    assert list(labels_in(json.dumps(content), name, "x")) == NAMES


def test_yaml_is_read_as_people_write_it() -> None:
    assert list(labels_in("names:\n  0: person\n  1: bicycle\n", "data.yaml", "x")) == ["person", "bicycle"]
    assert list(labels_in("- cat\n- no\n", "data.yml", "x")) == ["cat", False]  # rejected by read_labels


@pytest.mark.parametrize(
    "text",
    [
        'name\n"tench, Tinca tinca"\ngoldfish\ngreat white shark\n',
        '"tench, Tinca tinca"\ngoldfish\ngreat white shark\n',
        'id,name\n0,"tench, Tinca tinca"\n2,great white shark\n1,goldfish\n',
        '0,"tench, Tinca tinca"\n2,great white shark\n1,goldfish\n',
        '"tench, Tinca tinca",0\r\ngreat white shark,2\r\ngoldfish,1\r\n',
        'Index,Synset,Label\n0,n01,"tench, Tinca tinca"\n1,n02,goldfish\n2,n03,great white shark\n',
        'label,name\n1,goldfish\n2,great white shark\n0,"tench, Tinca tinca"\n',
        'class_id,fish\n0,"tench, Tinca tinca"\n1,goldfish\n2,great white shark\n',
    ],
)
def test_csv_has_a_column_of_names(text: str) -> None:
    assert list(labels_in(text, "x.csv", "x")) == NAMES


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("{", "x.json", "x: not JSON"),
        ("3", "x.json", "neither a list nor a mapping"),
        ('{"0": "cat", "2": "dog"}', "x.json", "has 2 names, and none of number 1"),
        ('{"cat": "dog"}', "x.json", "values that are not integers"),
        ("a: [", "x.yaml", "x: not YAML"),
        ("!!python/object/apply:os.system [id]", "x.yaml", "x: not YAML"),
        ("a,b,c\nd,e,f\n", "x.csv", "which of 3 columns"),
        ("tench, Tinca tinca\ngoldfish\n", "x.csv", "differ in length"),
    ],
)
def test_a_file_without_names_is_reported(text: str, name: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        labels_in(text, name, "x")


def test_other_files_hold_one_name_a_line() -> None:
    assert list(labels_in("[cat]\na,b\n\n", "labels.txt", "x")) == ["[cat]", "a,b"]


def test_the_labels_of_a_model_may_be_any_such_file(model: Model, tmp_path: Path) -> None:
    (tmp_path / "Names.JSON").write_text(json.dumps({"0": "cat", "1": "dog"}))
    assert read_labels(replace(model, labels=str(tmp_path / "Names.JSON"))) == ["cat", "dog"]
    (tmp_path / "names.yaml").write_text("- cat\n- yes\n")
    with pytest.raises(JobError, match="entry 2 is True, not a name"):
        read_labels(replace(model, labels=str(tmp_path / "names.yaml")))
    (tmp_path / "empty.csv").write_text("\n")
    with pytest.raises(JobError, match=r"empty\.csv: is empty"):
        read_labels(replace(model, labels=str(tmp_path / "empty.csv")))
