"""Maps names known from other exporters to our keys. Runs on the driver when an unknown key is reported."""

from __future__ import annotations

FIXES = {
    "export.half": "write export.precision=fp16",
    "export.fp16": "write export.precision=fp16",
    "export.int8": "write export.precision=int8",
    "export.dtype": "write export.precision=fp32, fp16, bf16 or int8",
    "export.quantize": "write export.precision=int8",
    "export.format": "write export.formats=[onnx]",
    "export.dynamic": "omit it: a bundle takes any number of images",
    "export.batch": "omit it: a bundle takes any number of images",
    "export.batch_size": "omit it: a bundle takes any number of images",
    "export.simplify": "omit it: graphs are always folded and simplified",
    "export.optimize": "omit it: graphs are always folded and simplified",
    "export.opset": "omit it: PyTorch's exporter chooses the opset, and model.onnx names it",
    "export.imgsz": "write model.preprocess.crop=224 or model.preprocess.crop=[height,width]",
    "export.height": "write model.preprocess.crop=[height,width]",
    "export.width": "write model.preprocess.crop=[height,width]",
    "export.atol": "write export.tolerance=exact, or single limits such as 'export.tolerance={score_difference: 0.01}'",
    "export.nms": "omit it: detectors keep their own post-processing",
    "export.device": "omit it: forms are written and compared on the CPU",
    "export.data": "write +dataset=images dataset.path=DIR",
    "export.fraction": "write export.images=64",
    "export.name": "write export.path=DIR",
    "export.output": "write export.path=DIR",
}
