import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from lsaprobe_jax import parallel


@pytest.mark.parametrize("length", [1, 4, 7])
def test_over_examples_pads_and_cuts_every_batch(length):
  run = parallel.over_examples(lambda w, x, y: {"z": w * x + y}, batch_size=4)
  x, y = np.arange(length, dtype=np.float32), np.ones(length, np.float32)
  parts = list(run(jnp.float32(2.0), x, y))
  assert [part.start for part, _ in parts] == list(range(0, length, 4))
  np.testing.assert_array_equal(
    np.concatenate([result["z"] for _, result in parts]), 2 * x + y
  )


def test_results_do_not_depend_on_batch_or_order():
  def noisy(w, x, number):
    key = jax.random.fold_in(jax.random.key(0), number)
    return jnp.sum(jnp.tanh(w * x)) + jax.random.normal(key)

  x = np.random.default_rng(0).normal(size=(10, 33)).astype(np.float32)
  numbers = np.arange(10, dtype=np.uint32)
  order = np.random.default_rng(1).permutation(10)
  collect = lambda batch_size, index: np.concatenate(
    [
      part
      for _, part in parallel.over_examples(noisy, batch_size)(
        jnp.float32(0.5), x[index], numbers[index]
      )
    ]
  )
  whole = collect(16, np.arange(10))
  np.testing.assert_array_equal(whole[order], collect(3, order))


def fourier(weights, x):
  """Needs memory for its table, and far more of it for every example."""
  return jnp.sum(jnp.square(jnp.fft.rfft(jnp.outer(x, weights)).real), axis=0)


@pytest.mark.parametrize("room", [3, 20])
def test_as_many_examples_as_fit_the_memory(room):
  program = jax.jit(lambda w, xs: jax.vmap(fourier, (None, 0))(w, xs))
  weights = jnp.ones(512)
  memory = lambda count: (
    program.lower(weights, jax.ShapeDtypeStruct((count, 256), jnp.float32))
    .compile()
    .memory_analysis()
  )
  used = lambda count: (
    (m := memory(count)).argument_size_in_bytes
    + m.output_size_in_bytes
    + m.temp_size_in_bytes
  )
  limit = used(room) * 1.25 + 4096
  own = 256 * 4
  found = parallel.examples_that_fit(memory(1), weights.nbytes, own, limit)
  assert room - 1 <= found <= room
  assert used(found) <= limit


def test_weights_that_a_program_does_not_use_are_no_part_of_an_example():
  one = types.SimpleNamespace(
    argument_size_in_bytes=30, output_size_in_bytes=1, temp_size_in_bytes=9
  )
  # The program uses 20 of 100 bytes of weights, and all of them take room.
  share = parallel.MEMORY_SHARE
  assert parallel.examples_that_fit(one, 100, 10, 300 / share) == 10
  assert parallel.examples_that_fit(one, 100, 10, 90 / share) == 1


def test_one_example_is_tried_where_none_seems_to_fit():
  memory = types.SimpleNamespace(
    argument_size_in_bytes=10, output_size_in_bytes=10, temp_size_in_bytes=100
  )
  assert parallel.examples_that_fit(memory, 5, 5, 50) == 1


@pytest.mark.parametrize(("batch_size", "most", "first"), [(0, None, 4), (0, 2, 2)])
def test_a_batch_size_that_is_not_given(batch_size, most, first):
  run = parallel.over_examples(lambda w, x: w * x, batch_size, most)
  x = np.arange(9, dtype=np.float32)
  parts = list(run(jnp.float32(2.0), x))
  assert parts[0][0] == slice(0, first * jax.device_count())
  np.testing.assert_array_equal(np.concatenate([r for _, r in parts]), 2 * x)


@pytest.mark.parametrize("together", [False, True])
def test_mean_value_and_grad_leaves_padding_out(together):
  loss = lambda p, x: jnp.sum((p["w"] * x - 1) ** 2)
  params = {"w": jnp.float32(0.7)}
  x = jnp.asarray([[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]])
  mask = jnp.asarray([1.0, 1.0, 0.0])
  mean, losses, grads = parallel.mean_value_and_grad(
    loss, params, mask, x, together=together
  )
  naive = lambda p: (loss(p, x[0]) + loss(p, x[1])) / 2
  np.testing.assert_allclose(mean, naive(params), rtol=1e-6)
  np.testing.assert_allclose(grads["w"], jax.grad(naive)(params)["w"], rtol=1e-6)
  expected = [loss(params, x[0]), loss(params, x[1])]
  np.testing.assert_allclose(losses[:2], expected, rtol=1e-6)


class Plus(struct.PyTreeNode):
  count: int = struct.field(pytree_node=False, default=1)

  def __call__(self, x):
    return x + self.count


class Minus(struct.PyTreeNode):
  count: int = struct.field(pytree_node=False, default=1)

  def __call__(self, x):
    return x - self.count


def test_classes_with_equal_static_fields_have_programs_of_their_own(monkeypatch):
  assert parallel.node_types((0, Plus())) != parallel.node_types((0, Minus()))
  assert parallel.node_types({"a": [1, None]}) == parallel.node_types({"b": [2, None]})
  calls = []

  def fn(shared, x):
    calls.append(type(shared))
    return shared(x)

  run = parallel.over_examples(fn, 2)
  for kind, expected in ((Plus, 2), (Minus, 0), (Plus, 2), (Minus, 0)):
    ((_, found),) = run(kind(), np.ones(2, np.float32))
    np.testing.assert_array_equal(found, [expected, expected])
  assert calls == [Plus, Minus]


def test_a_program_is_never_that_of_a_class_whose_structure_compares_equal():
  # As many classes as make a collision of hashes certain enough: without `node_types`
  # about one in ten calls found the program of another class.
  def make(number):
    call = lambda self, x: x + number
    body = {
      "__annotations__": {"count": int},
      "count": struct.field(pytree_node=False, default=1),
      "__call__": call,
    }
    return type(f"Plus{number}", (struct.PyTreeNode,), body)

  run = parallel.over_examples(lambda shared, x: shared(x), 1)
  for number in range(40):
    ((_, found),) = run(make(number)(), np.zeros(1, np.float32))
    np.testing.assert_array_equal(found, [number])


@pytest.mark.parametrize(
  ("chosen", "stated"), [(None, "HIGHEST"), ("default", "DEFAULT"), ("high", "HIGH")]
)
def test_products_are_in_float32_unless_somebody_chose(chosen, stated):
  """An accelerator would take TF32 or bfloat16, which spoiled MR-STFT's gradient."""
  program = parallel.shard_examples(lambda w, x: w @ x, parallel.example_mesh())
  weights, xs = jnp.ones((3, 3)), jnp.ones((2, 3))
  with jax.default_matmul_precision(chosen):
    text = program.lower(weights, (xs,), parallel.node_types(weights)).as_text()
  (product,) = [line for line in text.splitlines() if "dot_general" in line]
  assert f"precision = [{stated}, {stated}]" in product


def test_the_next_batch_is_under_way_while_one_is_handed_over(monkeypatch):
  """What the host does with a batch keeps no device waiting."""
  events, shard = [], parallel.shard_examples

  def noted(fn, mesh):
    program = shard(fn, mesh)

    def run(*args):
      events.append("begun")
      return program(*args)

    return run

  monkeypatch.setattr(parallel, "shard_examples", noted)
  for _ in parallel.over_examples(lambda w, x: w * x, 2)(
    jnp.float32(2), np.ones(6, np.float32)
  ):
    events.append("handed over")
  assert "".join(event[0] for event in events) == "bbhbhh"
