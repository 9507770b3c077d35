import ml_dtypes
import numpy as np
import pytest

from lsaprobe_jax.models.files import tensors


@pytest.mark.parametrize(
  "dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
)
def test_floating_point_numbers_become_float32(dtype):
  value = np.array([[1.5, -2.0], [0.0, 3.0]], dtype)
  found = tensors.weight("w", value)
  np.testing.assert_array_equal(found, value.astype(np.float32), strict=True)
  assert tensors.weight("w", np.zeros((0, 3), dtype)).shape == (0, 3)


def test_large_weights_are_weights():
  value = np.full(1000, np.finfo(np.float32).max)
  np.testing.assert_array_equal(tensors.weight("w", value), value)


@pytest.mark.parametrize(
  ("value", "match"),
  [
    (np.float32([1, np.nan, np.inf]), r"^NaN in layer/kernel \(2 of 3 values\)$"),
    (np.float32([1, np.inf, -np.inf]), r"^infinity in layer/kernel \(2 of 3 values\)$"),
    (np.float16([np.inf]), r"^infinity in layer/kernel \(1 of 1 values\)$"),
    (np.array([np.inf], ml_dtypes.bfloat16), "^infinity"),
    (np.float64([1e39]), "^infinity"),
    (np.int32([1]), "^layer/kernel holds int32, where weights are floating-point"),
    (np.array([True]), "holds bool"),
    (np.complex64([1]), "holds complex64"),
    (np.array(["a"]), "holds <U1"),
    (np.array([None]), "holds object"),
  ],
)
def test_what_is_no_weight_is_refused_by_name(value, match):
  with pytest.raises(ValueError, match=match):
    tensors.weight("layer/kernel", value)


def test_names_are_listed_ten_at_most_and_on_one_line():
  assert tensors.shortened([]) == "[]"
  assert tensors.shortened(["b", "a"]) == "['a', 'b']"
  many = tensors.shortened(f"{i:05d}" for i in range(100_000))
  assert many.startswith("['00000', '00001', ")
  assert many.endswith("'00009', ... and 99,990 more]")
  long = tensors.shortened(["x" * 10**6, "\x1b[31m\n", "\udce9"])
  assert len(long) < 300
  assert long.isascii()
  assert long.isprintable()
