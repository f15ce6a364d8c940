from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import hub_folders
import numpy as np
import pyarrow as pa
import pytest
import torch
import torchvision_operators
import transformers
from PIL import Image

from actors.engines.tolerance import EXACT
from actors.errors import JobError
from actors.models.detectors import Detector
from actors.models.sources.registry import model_from
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.preprocess import Preprocess, ResizeMode
from actors.preprocess.fitting import fit
from actors.tasks.base import Outputs
from actors.tasks.context import BatchContext
from actors.tasks.segment import MaskForm, Segment
from actors.tasks.segmentation.heads import SegmentHead
from actors.tasks.segmentation.run_lengths import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

RANDOM = np.random.default_rng(4)
LOGITS = RANDOM.normal(size=(3, 4, 16, 16)).astype(np.float32)
SIZES = np.array([[30, 50], [64, 64], [90, 20]], np.int32)
SQUASH = Preprocess(resize=[64, 64], crop=None)
LABELS = ["sky", "road", "car", "tree"]


def rows(
    task: Segment,
    tensors: Mapping[str, np.ndarray],
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess = SQUASH,
    sizes: np.ndarray = SIZES,
) -> tuple[pa.Table, np.ndarray]:
    outputs = Outputs.of(tensors)
    fields = task.fields(outputs, labels)
    read = {name: tensors[name] for name in task.output_names(outputs)}
    columns, valid = task.columns(read, BatchContext(labels, preprocess, sizes))
    assert [column.type for column in columns] == [field.type for field in fields]
    return pa.table(columns, [field.name for field in fields]), valid


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def enlarged(logits: np.ndarray | torch.Tensor, size: Sequence[int]) -> np.ndarray:
    """Returns the class map, computed plainly."""
    whole = torch.nn.functional.interpolate(torch.as_tensor(logits)[None], size=tuple(size), mode="bilinear")
    classes: np.ndarray = whole[0].argmax(dim=0).numpy()
    return classes


def test_maps_have_the_size_of_the_source_and_count_their_pixels() -> None:
    table, valid = rows(Segment(), {"out": LOGITS}, labels=LABELS)
    assert table.column_names == ["width", "height", "mask", "classes"]
    assert valid.all()
    for logits, (height, width), row in zip(LOGITS, SIZES, table.to_pylist(), strict=True):
        assert (row["width"], row["height"]) == (width, height)
        class_map = opened(row["mask"])
        np.testing.assert_array_equal(class_map, enlarged(logits, (height, width)))
        pixels = np.bincount(class_map.ravel())
        expected = [{"label_id": k, "label": LABELS[k], "pixels": pixels[k]} for k in np.flatnonzero(pixels)]
        assert row["classes"] == expected


def test_run_lengths_hold_the_same_pixels() -> None:
    maps = [opened(png.as_py()) for png in rows(Segment(), {"out": LOGITS})[0]["mask"]]
    table, _ = rows(Segment(mask=MaskForm.rle), {"out": LOGITS})
    assert table.column_names == ["width", "height", "classes"]
    for class_map, classes in zip(maps, table["classes"].to_pylist(), strict=True):
        for entry in classes:
            assert entry["mask"]["size"] == [*class_map.shape]
            mask = decode(entry["mask"]["counts"], class_map.shape)
            np.testing.assert_array_equal(mask, class_map == entry["label_id"])
            assert mask.sum() == entry["pixels"]


def test_pixels_that_the_model_did_not_see_have_no_class() -> None:
    sizes, tensors = np.array([[40, 100]], np.int32), {"out": LOGITS[:1]}
    table, _ = rows(Segment(), tensors, preprocess=Preprocess(resize=64, crop=64), sizes=sizes)
    (row,) = table.to_pylist()
    assert (opened(row["mask"])[:, :30] == 255).all()
    assert sum(entry["pixels"] for entry in row["classes"]) == 40 * 40
    counts = Segment().counts(table)
    assert counts["pixels_void/num"] == 40 * 60
    assert Segment().summary(counts)[0][1].endswith("without a class 60.0%")
    rle, _ = rows(Segment(mask=MaskForm.rle), tensors, preprocess=Preprocess(resize=64, crop=64), sizes=sizes)
    assert [entry["label_id"] for entry in rle.to_pylist()[0]["classes"]] == [0, 1, 2, 3]


def test_a_single_channel_tells_two_classes_apart() -> None:
    probabilities = 1 / (1 + np.exp(-LOGITS[:, :1]))
    by_logits, _ = rows(Segment(), {"out": LOGITS[:, :1]}, labels=["background", "object"])
    (png, *_), sizes = by_logits["mask"].to_pylist(), (30, 50)
    whole = torch.nn.functional.interpolate(torch.from_numpy(LOGITS[:1, :1]), size=sizes, mode="bilinear")
    np.testing.assert_array_equal(opened(png), whole[0, 0].numpy() > 0)
    by_probabilities, _ = rows(Segment(threshold=0.5), {"out": probabilities[:, :, ::5, ::5]})
    assert {entry["label"] for entry in by_probabilities["classes"][0].as_py()} == {"0", "1"}


def test_probabilities_with_the_threshold_of_logits_are_told(caplog: pytest.LogCaptureFixture) -> None:
    shares = np.abs(LOGITS[:, :1]) / 10
    with caplog.at_level(logging.WARNING, "shardlens"):
        Segment(threshold=0.5).check({"out": shares})
        Segment().check({"out": LOGITS})
        assert not caplog.messages
        Segment().check({"out": shares})
    assert "set task.threshold=0.5" in caplog.messages[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_class_maps_are_enlarged_by_the_nearest_cell(dtype: type) -> None:
    ids = RANDOM.integers(0, 4, (1, 1, 8, 8)).astype(dtype)
    task = Segment(head=SegmentHead.class_map)
    table, _ = rows(task, {"ids": ids}, labels=LABELS, sizes=np.array([[32, 16]], np.int32))
    expected = ids[0, 0].repeat(4, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(opened(table["mask"][0].as_py()), expected)


def test_above_255_classes_maps_have_16_bits() -> None:
    logits = RANDOM.normal(size=(1, 300, 4, 4)).astype(np.float32)
    table, _ = rows(Segment(), {"out": logits}, sizes=np.array([[9, 9]], np.int32))
    np.testing.assert_array_equal(opened(table["mask"][0].as_py()), enlarged(logits[0], (9, 9)))
    wide, _ = rows(Segment(), {"out": np.full((1, 3, 3), 4000)}, sizes=np.array([[3, 3]], np.int32))
    assert wide["classes"].to_pylist() == [[{"label_id": 4000, "label": "4000", "pixels": 9}]]


@pytest.mark.parametrize("mask", MaskForm)
def test_an_image_with_a_value_that_is_not_finite_is_not_valid(mask: MaskForm) -> None:
    logits = LOGITS.copy()
    logits[1, 2, 3, 4] = np.nan
    table, valid = rows(Segment(mask=mask), {"out": logits})
    assert valid.tolist() == [True, False, True]
    assert len(table) == 3


def test_wrong_labels_are_refused() -> None:
    with pytest.raises(JobError, match=r"model.labels: 3 labels, and the model's output out has 4 classes"):
        rows(Segment(), {"out": LOGITS}, labels=LABELS[:3])
    with pytest.raises(JobError, match=r"model.labels: 1 labels, and the model's output out has 2 classes"):
        rows(Segment(), {"out": LOGITS[:, :1]}, labels=["object"])
    with pytest.raises(JobError, match="looks as if its last axis held the classes"):
        rows(Segment(), {"out": LOGITS.transpose(0, 2, 3, 1)})


def test_engines_are_compared_by_pixels_or_by_boxes() -> None:
    agreement = Segment().agreement({"out": LOGITS}, {"out": LOGITS}, EXACT)
    assert agreement.figures["pixel_agreement"] == 1
    assert not agreement.breaches
    ids = LOGITS.argmax(axis=1)
    assert Segment().agreement({"ids": ids}, {"ids": ids[:, ::-1]}, EXACT).breaches
    instances = _instances()
    figures = Segment().agreement(instances, instances, EXACT).figures
    assert figures["boxes"] == 4  # two per engine


def test_instances_are_detections_with_masks_in_pixels_of_the_source() -> None:
    paste = pytest.importorskip("torchvision.models.detection.roi_heads").paste_masks_in_image
    instances, task = _instances(), Segment(score_threshold=0.4)
    preprocess = Preprocess(resize=64, crop=64, resize_mode=ResizeMode.longest_side)
    table, valid = rows(task, instances, preprocess=preprocess, sizes=np.array([[120, 240]], np.int32))
    assert table.column_names == ["width", "height", "detections"]
    assert valid.tolist() == [True]
    best, second = table["detections"][0].as_py()
    assert (best["label_id"], second["label_id"]) == (2, 1)
    scale, offset = 240 / 64, np.float32([0, 60, 0, 60])
    for entry, place in ((best, 1), (second, 0)):
        box = instances["boxes"][0, place] * scale - offset
        corners = [entry[name] for name in ("xmin", "ymin", "xmax", "ymax")]
        np.testing.assert_allclose(corners, np.clip(box, 0, [240, 120, 240, 120]), atol=1e-4)
        mask = torch.from_numpy(instances["masks"][0, place])[None, None]
        pasted = paste(mask, torch.from_numpy(box)[None], (120, 240))[0, 0].numpy()
        assert entry["mask"]["size"] == [120, 240]
        found = decode(entry["mask"]["counts"], (120, 240))
        assert (found != (pasted > 0.5)).sum() <= 2
    assert Segment().counts(table)["objects/2"] == 1
    assert Segment().summary(Segment().counts(table))[0][0] == "objects"


def _instances() -> dict[str, np.ndarray]:
    boxes = np.float32([[[10, 20, 30, 40], [5.5, 10, 50, 44], [1, 1, 3, 3], [0, 0, 0, 0]]])
    return {
        "boxes": boxes,
        "scores": np.float32([[0.5, 0.9, 0.1, 0]]),
        "labels": np.int64([[1, 2, 3, -1]]),
        "masks": RANDOM.random((1, 4, 28, 28)).astype(np.float32),
    }


def _pictures() -> list[np.ndarray]:
    sizes = [(60, 90), (128, 64), (33, 200)]
    return [RANDOM.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def _network_by_name(name: str, **options: Any) -> Any:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    return models.get_model(name, weights=None, weights_backbone=None, **options).eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lraspp_mobilenet_v3_large", {"num_classes": 5}),
        ("deeplabv3_mobilenet_v3_large", {"num_classes": 5, "aux_loss": True}),
    ],
)
def test_networks_of_torchvision_lead_to_the_argmax_of_their_logits(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    network = models.get_model(name, weights=None, weights_backbone=None, **options).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    model = Model(
        f"library_networks:torchvision__{name}",
        kwargs={"weights": None, "weights_backbone": None, **options},
        checkpoint=str(tmp_path / "weights.pt"),
        preprocess=SQUASH,
    )
    _assert_maps(Predictor(model, task=Segment()), lambda pixels_nchw: network(pixels_nchw)["out"])


def test_a_folder_of_transformers_gives_the_maps_of_its_image_processor(tmp_path: Path) -> None:
    network = hub_folders.segformer(tmp_path)
    processor = transformers.SegformerImageProcessor.from_pretrained(tmp_path)
    predictor = Predictor(model_from(str(tmp_path)), task=Segment())
    assert predictor.labels == ["cat", "dog", "owl"]
    pictures = _pictures()
    with torch.inference_mode():
        outputs = network(pixel_values=_pixels(pictures, predictor.model.preprocess))
    sizes = [picture.shape[:2] for picture in pictures]
    expected = processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)
    for class_map, png in zip(expected, predictor.predict(pictures)["mask"].to_pylist(), strict=True):
        assert len(class_map.unique()) > 1
        assert (opened(png) != class_map.numpy()).mean() < 1e-3


def test_mask_r_cnn_of_torchvision() -> None:
    models = pytest.importorskip("torchvision.models")
    roi_heads = pytest.importorskip("torchvision.models.detection.roi_heads")
    torchvision_operators.provide()
    torch.manual_seed(0)
    options = {"num_classes": 5, "box_score_thresh": 0.02, "box_detections_per_img": 8, **_FEW_PROPOSALS}
    network = models.get_model("maskrcnn_resnet50_fpn", weights=None, weights_backbone=None, **options).eval()
    preprocess = Preprocess(resize=[64, 64], crop=None, mean=[0, 0, 0], std=[1, 1, 1])
    pictures = _pictures()[:2]
    with torch.inference_mode():
        outputs = Detector(network, preprocess)(_pixels(pictures, preprocess))
    sizes = np.array([picture.shape[:2] for picture in pictures], np.int32)
    tensors = {name: tensor.numpy() for name, tensor in outputs.items()}
    table, _ = rows(Segment(score_threshold=0.02), tensors, preprocess=preprocess, sizes=sizes)
    for image, ((height, width), found) in enumerate(zip(sizes.tolist(), table["detections"].to_pylist(), strict=True)):
        boxes = outputs["boxes"][image] * torch.tensor([width, height] * 2) / 64
        pasted = roi_heads.paste_masks_in_image(outputs["masks"][image][:, None], boxes, (height, width))[:, 0] > 0.5
        assert len(found) == (outputs["scores"][image] >= 0.02).sum() > 0
        for entry, expected in zip(found, pasted.numpy(), strict=False):
            assert (decode(entry["mask"]["counts"], (height, width)) != expected).mean() < 1e-3


# The operators in PyTorch take seconds for the usual thousand proposals.
_FEW_PROPOSALS = {"rpn_pre_nms_top_n_test": 20, "rpn_post_nms_top_n_test": 20}


def _assert_maps(predictor: Predictor, logits_of: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Compares the masks of pictures with the argmax of the enlarged logits."""
    pictures = _pictures()
    with torch.inference_mode():
        logits = logits_of(_pixels(pictures, predictor.model.preprocess))
    for picture, answer, png in zip(pictures, logits, predictor.predict(pictures)["mask"].to_pylist(), strict=True):
        assert (opened(png) != enlarged(answer, picture.shape[:2])).mean() < 1e-3


def _pictures() -> list[np.ndarray]:
    sizes = [(60, 90), (128, 64), (33, 200)]
    return [RANDOM.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def _pixels(pictures: Sequence[np.ndarray], preprocess: Preprocess) -> torch.Tensor:
    """Returns the normalised network input for pictures."""
    pixels_nchw = (
        torch.from_numpy(np.stack([fit(picture, preprocess) for picture in pictures])).permute(0, 3, 1, 2) / 255
    )
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
    return (pixels_nchw - mean) / std
