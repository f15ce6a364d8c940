from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.engines.tolerance import EXACT, Tolerance
from actors.errors import JobError
from actors.preprocess import Preprocess
from actors.tasks.base import Outputs
from actors.tasks.context import BatchContext
from actors.tasks.embed import Embed, EmbeddingType, Pool
from actors.tasks.parity import Agreement

VECTORS = np.random.default_rng(2).normal(size=(4, 8)).astype(np.float32)


def compare(
    reference: np.ndarray, candidate: np.ndarray, *, task: Embed | None = None, tolerance: Tolerance | None = None
) -> Agreement:
    both = ({"output": vectors.astype(np.float32)} for vectors in (reference, candidate))
    return (task or Embed()).agreement(*both, tolerance or Tolerance(output_error=1))


def embed(task: Embed, vectors: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    (field,) = task.fields(Outputs.of({"output": vectors}), None)
    (column,), valid = task.columns({"output": vectors}, BatchContext.of_inputs(None, Preprocess(), len(vectors)))
    assert column.type == field.type
    return column, valid


def test_vectors_are_kept_to_the_last_bit() -> None:
    column, valid = embed(Embed(), VECTORS)
    assert column.type == pa.list_(pa.float32(), 8)
    np.testing.assert_array_equal(np.stack(column.to_pylist()), VECTORS)
    assert valid.all()


def test_float16_and_unit_length() -> None:
    column, _ = embed(Embed(dtype=EmbeddingType.float16, normalize=True), VECTORS)
    assert column.type == pa.list_(pa.float16(), 8)
    lengths = np.linalg.norm(np.stack(column.to_pylist()).astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_zeros_have_no_direction() -> None:
    column, valid = embed(Embed(normalize=True), np.zeros((1, 3), np.float32))
    assert column.to_pylist() == [[0, 0, 0]]
    assert valid.all()


def test_what_float16_cannot_hold_is_not_valid() -> None:
    _, valid = embed(Embed(dtype=EmbeddingType.float16), np.array([[1.0, 1e6], [1.0, 2.0]], np.float32))
    assert valid.tolist() == [False, True]


def test_a_map_is_not_an_embedding() -> None:
    with pytest.raises(JobError, match="task=embed"):
        Embed().fields(Outputs.of({"output": np.zeros((1, 3, 2, 2))}), None)


def test_the_same_vectors_agree_in_every_figure() -> None:
    agreement = compare(VECTORS, VECTORS, tolerance=EXACT)
    assert agreement.breaches == []
    assert agreement.figures == {"images": 4, "cosine": 1, "mean_cosine": 1, "output_error": 0}


def test_the_cosine_is_that_of_the_worst_image() -> None:
    turned = np.array([[2.0, 0], [0, 3], [1, 1]])
    agreement = compare(turned, np.array([[2.0, 0], [3, 4], [1, 1]]))
    assert agreement.figures["cosine"] == pytest.approx(0.8)
    assert agreement.figures["mean_cosine"] == pytest.approx(2.8 / 3)
    assert agreement.breaches[0] == "the vectors of image 1 have a cosine of 0.8 (engine.tolerance.cosine=0.995)"


def test_vectors_that_are_nearly_equal_do_not_hide_an_error() -> None:
    shared = 100 + VECTORS
    agreement = compare(shared, 100 + VECTORS[::-1], tolerance=Tolerance())
    assert agreement.figures["cosine"] > 0.999
    (breach,) = agreement.breaches
    assert breach.endswith(" of the spread between images (engine.tolerance.output_error=0.15)")
    place = int(np.linalg.norm(VECTORS - VECTORS[::-1], axis=1).argmax())
    assert breach.startswith(f"the vector of image {place} is off by ")


def test_length_counts_unless_the_task_divides_by_it() -> None:
    assert compare(VECTORS, 1.5 * VECTORS, tolerance=Tolerance()).figures["output_error"] > 0.3
    assert compare(VECTORS, 1.5 * VECTORS, tolerance=Tolerance()).breaches
    assert compare(VECTORS, 1.5 * VECTORS, task=Embed(normalize=True), tolerance=EXACT).breaches == []


def test_zeros_are_like_zeros_alone() -> None:
    vectors = np.stack([np.zeros(8), *VECTORS[1:]])
    assert not compare(vectors, vectors, tolerance=EXACT).breaches
    for reference, candidate in ((vectors, VECTORS), (VECTORS, vectors)):
        assert compare(reference, candidate).figures["cosine"] == 0


def test_what_one_alone_can_store_is_a_breach() -> None:
    large = VECTORS.copy()
    large[3, 0] = 1e6
    assert compare(large, large, tolerance=EXACT).figures["images"] == 4
    half = Embed(dtype=EmbeddingType.float16)
    agreement = compare(VECTORS, large, task=half)
    assert agreement.figures["images"] == 3
    assert agreement.breaches == ["output output has values that are not finite for image 3, unlike the reference's"]
    assert compare(large, large, task=half, tolerance=EXACT).figures["images"] == 3
    assert compare(VECTORS[:0], VECTORS[:0]).breaches


def test_a_vector_of_another_length_is_a_breach() -> None:
    assert compare(VECTORS, VECTORS[:, :5]).breaches == [
        "output output has shape (4, 5), where the reference's has (4, 8)"
    ]


HIDDEN = np.random.default_rng(3).normal(size=(4, 7, 8)).astype(np.float32)
MAPS = np.random.default_rng(4).normal(size=(4, 6, 3, 5)).astype(np.float32)


def test_tokens_and_places_are_pooled() -> None:
    column, _ = embed(Embed(pool=Pool.cls), HIDDEN)
    np.testing.assert_array_equal(np.stack(column.to_pylist()), HIDDEN[:, 0])
    column, _ = embed(Embed(pool=Pool.mean), HIDDEN)
    np.testing.assert_allclose(np.stack(column.to_pylist()), HIDDEN.mean(axis=1), atol=1e-6)
    column, _ = embed(Embed(pool=Pool.mean), MAPS)
    assert column.type == pa.list_(pa.float32(), 6)
    np.testing.assert_allclose(np.stack(column.to_pylist()), MAPS.mean(axis=(2, 3)), atol=1e-6)


def test_each_of_several_outputs_gets_a_column() -> None:
    tensors = {"last_hidden_state": HIDDEN, "pooler_output": VECTORS, "other": VECTORS}
    task = Embed(output=["pooler_output", "last_hidden_state"], pool=Pool.cls, normalize=True)
    fields = task.fields(Outputs.of(tensors), None)
    assert [field.name for field in fields] == ["embedding_pooler_output", "embedding_last_hidden_state"]
    broken = {**tensors, "pooler_output": VECTORS.copy()}
    broken["pooler_output"][2, 0] = np.nan
    columns, valid = task.columns(broken, BatchContext.of_inputs(None, Preprocess(), 4))
    first = HIDDEN[:, 0] / np.linalg.norm(HIDDEN[:, 0], axis=1, keepdims=True)
    np.testing.assert_allclose(np.stack(columns[1].to_pylist()), first, atol=1e-6)
    assert valid.tolist() == [True, True, False, True]


def test_with_pooling_the_only_output_with_tokens_is_taken() -> None:
    outputs = Outputs.of({"pooler_output": VECTORS, "last_hidden_state": HIDDEN})
    assert Embed().output_names(outputs) == ["pooler_output"]
    assert Embed(pool=Pool.mean).output_names(outputs) == ["last_hidden_state"]
    assert Embed(pool=Pool.mean, output="pooler_output").output_names(outputs) == ["pooler_output"]
    for task, message in (
        (Embed(output="last_hidden_state"), "task.pool=cls or mean"),
        (Embed(output=["pooler_output", "pooler_output"]), "one twice"),
        (Embed(output=[]), "names no output"),
        (Embed(output=[3]), "not a name"),
        (Embed(pool=Pool.cls, output="logits"), "task.pool=cls: needs an output"),
    ):
        with pytest.raises(JobError, match=message):
            task.fields(outputs, None)
    pooled = Outputs.of({"a": MAPS.mean(axis=(2, 3), keepdims=True)})
    assert Embed(output="a").fields(pooled, None)[0].type == pa.list_(pa.float32(), 6)
    with pytest.raises(JobError, match=r"set task.output to one of \['a', 'b'\]"):
        Embed(pool=Pool.mean).fields(Outputs.of({"a": HIDDEN, "b": MAPS}), None)


def test_the_worst_of_several_outputs_decides() -> None:
    tensors = {"a": VECTORS, "b": VECTORS}
    agreement = Embed(output=["a", "b"]).agreement(tensors, {"a": -VECTORS, "b": VECTORS}, Tolerance())
    assert agreement.figures["cosine"] == pytest.approx(-1)
    assert agreement.breaches[0].startswith("output a: the vectors of image ")
    assert len(agreement.breaches) == 2


def test_rows_of_versions_without_pooling_stay_current() -> None:
    wanted = {"name": "embed", "dtype": EmbeddingType.float32, "normalize": False, "output": None}
    assert Embed().identity() == wanted
    assert Embed(pool=Pool.cls).identity() == {**wanted, "pool": Pool.cls}
