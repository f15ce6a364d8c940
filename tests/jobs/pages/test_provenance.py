from __future__ import annotations

from pages import facts_of

from jobs.pages.provenance import dataset_name, provenance


def test_several_places_of_a_dataset_are_cut() -> None:
    assert dataset_name({"dataset": {"kind": "images", "path": list("abcde")}}) == "images a, b, c and 2 more"


def test_the_page_says_what_ran_and_how_to_prove_it() -> None:
    found = provenance(facts_of(started_by="ann@host", command="python -m jobs.batch_infer +dataset=images"))
    origin = dict(found.origin)
    assert origin["Model"] == "timm:resnet18 r18.safetensors"
    assert origin["Engine"] == "openvino bf16 cpu"
    assert origin["Started by"] == "ann@host"
    assert origin["Dataset"] == "images s3://…@bucket/photos"
    assert dict(found.versions) == {"torch": "2.13.0"}
    assert found.verify.endswith(f"output.path=/out run.id=r1 verify.manifest_sha256={'0f' * 32}")
    assert "Ended" not in origin  # runs of earlier versions do not record it
