from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torchvision_operators
from photos import photo
from torch import nn

from actors.engines.configs import TorchEngineConfig
from actors.errors import JobError
from actors.models.detectors import Detector, is_detector, without_eps
from actors.models.sources.registry import model_from
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.tasks.detect import Detect

if TYPE_CHECKING:
    from pathlib import Path

torchvision_operators.provide()
models = pytest.importorskip("torchvision.models")
PIXELS = Preprocess(resize=64, crop=64, mean=[0, 0, 0], std=[1, 1, 1])
FEW = {
    "rpn_pre_nms_top_n_test": 30,
    "rpn_post_nms_top_n_test": 30,
}  # more are slow
SMALL = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": {"box_score_thresh": 0.02, "box_detections_per_img": 20, **FEW},
    "retinanet_resnet50_fpn": {"score_thresh": 0.001, "detections_per_img": 20, "topk_candidates": 50},
    "fcos_resnet50_fpn": {"score_thresh": 0.001, "detections_per_img": 20, "topk_candidates": 50},
    "ssdlite320_mobilenet_v3_large": {"score_thresh": 0.01, "detections_per_img": 20, "topk_candidates": 20},
}


@pytest.mark.parametrize("name", SMALL)
def test_detections_are_those_of_torchvision_padded_to_one_length(name: str) -> None:
    network, pixels_nchw = _network(name, **SMALL[name]), _pixels()
    with torch.inference_mode():
        expected = network([*pixels_nchw])
        outputs = Detector(network, PIXELS)(pixels_nchw)
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {
        "boxes": (2, 20, 4),
        "labels": (2, 20),
        "scores": (2, 20),
    }
    assert any(len(found["scores"]) for found in expected)
    for place, found in enumerate(expected):
        _assert_padded({key: value[place] for key, value in outputs.items()}, found)


def test_masks_stay_small_and_paste_to_those_of_torchvision() -> None:
    paste = pytest.importorskip("torchvision.models.detection.roi_heads").paste_masks_in_image
    settings = {"box_score_thresh": 0.02, "box_detections_per_img": 8, **FEW}
    network, pixels_nchw = _network("maskrcnn_resnet50_fpn", **settings), _pixels()
    with torch.inference_mode():
        expected = network([*pixels_nchw])
        outputs = Detector(network, PIXELS)(pixels_nchw)
    assert outputs["masks"].shape == (2, 8, 28, 28)
    for place, found in enumerate(expected):
        kept = len(found["scores"])
        assert kept > 0
        pasted = paste(outputs["masks"][place, :kept, None], outputs["boxes"][place, :kept], (64, 64))
        torch.testing.assert_close(pasted, found["masks"])


def test_an_input_that_the_network_cannot_halve_often_enough_is_padded() -> None:
    network = _network("fasterrcnn_mobilenet_v3_large_320_fpn", box_score_thresh=0.02, **FEW)
    pixels_nchw = _pixels()[:, :, :50, :40]
    network.transform.min_size, network.transform.max_size = (40,), 50
    with torch.inference_mode():
        expected = network([*pixels_nchw])
        outputs = Detector(network, PIXELS)(pixels_nchw)
    _assert_padded({key: value[0] for key, value in outputs.items()}, expected[0])


def test_other_networks_are_left_alone() -> None:
    assert not is_detector(nn.Linear(1, 1))
    assert is_detector(_network("ssdlite320_mobilenet_v3_large"))


def test_pixels_that_would_be_normalised_twice_are_refused() -> None:
    network = _network("ssdlite320_mobilenet_v3_large")
    with pytest.raises(JobError, match="normalise images themselves") as raised:
        Detector(network, Preprocess(resize=64, crop=64))
    assert "model.preprocess.mean=[0,0,0]" in raised.value.fix


@pytest.mark.parametrize(
    "name", ["fasterrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn"]
)
def test_weights_that_torchvision_runs_without_eps(name: str) -> None:
    url = models.get_model_weights(name).COCO_V1.url
    given, network = torch.rand(2, 3, 4, 4), nn.Sequential(nn.BatchNorm2d(3)).eval()
    network[0].running_var.copy_(torch.tensor([1e-6, 1e-3, 1.0]))
    expected = given / network[0].running_var.sqrt().reshape(1, 3, 1, 1)
    without_eps(network, "mine.pth")
    assert not torch.allclose(network(given), expected)
    without_eps(network, url)
    torch.testing.assert_close(network(given), expected, rtol=1e-4, atol=0)


def test_an_export_is_refused() -> None:
    detector = Detector(_network("ssdlite320_mobilenet_v3_large"), PIXELS)
    with pytest.raises(JobError, match="cannot be exported") as raised:
        torch.export.export(detector, (_pixels(),), strict=False)
    assert raised.value.fix == "choose engine=torch"


def test_a_predictor_finds_the_boxes_of_torchvision_in_a_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = {"num_classes": 5, "score_thresh": 0.02, "weights_backbone": None}
    network = models.get_model("ssdlite320_mobilenet_v3_large", weights=None, **settings).eval()
    for weights in network.head.classification_head.parameters():
        nn.init.normal_(weights, std=0.3)  # so that scores differ
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    picture = photo(3, height=150, width=200)
    image_hwc = np.array(picture)
    with torch.inference_mode():
        (expected,) = network([torch.from_numpy(image_hwc).permute(2, 0, 1) / 255])

    model = model_from(
        "",
        architecture="torchvision:ssdlite320_mobilenet_v3_large",
        kwargs=settings,
        checkpoint=str(tmp_path / "weights.pt"),
        labels=["__background__", "a", "b", "c", "d"],
    )
    predictor = Predictor(model, engine=TorchEngineConfig(threads=1), task=Detect(score_threshold=0.0))
    (row,) = predictor.predict([image_hwc]).to_pylist()
    assert (row["width"], row["height"], row["error"]) == (200, 150, None)
    found = row["detections"]
    assert len(found) > 100
    best = found[:30]  # rounded pixels change the order of the last ones
    np.testing.assert_allclose([one["score"] for one in best], expected["scores"][:30], atol=5e-3)
    corners = torch.tensor([[one[name] for name in ("xmin", "ymin", "xmax", "ymax")] for one in best])
    overlaps = models.detection.ssd.box_ops.box_iou(corners, expected["boxes"])
    label_ids = torch.tensor([one["label_id"] for one in best])
    overlaps[label_ids[:, None] != expected["labels"]] = 0
    assert overlaps.amax(dim=1).min() > 0.9
    assert [one["label"] for one in best] == [model.labels[label_id] for label_id in label_ids]


def _network(name: str, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    network = models.get_model(name, weights=None, weights_backbone=None, num_classes=5, **settings).eval()
    network.transform.min_size, network.transform.max_size, network.transform.fixed_size = (64,), 64, None
    return network  # type: ignore[no-any-return]


def _pixels() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def _assert_padded(outputs: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    kept = len(found["scores"])
    for name, values in found.items():
        torch.testing.assert_close(outputs[name][:kept], values)
    assert not outputs["scores"][kept:].any()
