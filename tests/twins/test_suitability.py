"""Which twins carry signal is seen without any label, and others are refused."""

import jax
import numpy as np
import pytest
from examples import load_example

from lsaprobe_jax import diffusion, twins
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models.denoiser import DenoiserModel

Shift = load_example("shift").Shift


twins.register("shift", twins.Kind(twin=Shift(16), assumes="nothing", prefers=False))


@pytest.fixture(scope="module")
def clips():
  return np.random.default_rng(0).normal(scale=0.2, size=(2, 256)).astype(np.float32)


def denoiser(noise_fn) -> DenoiserModel:
  return DenoiserModel(
    params=None,
    schedule=diffusion.linear(50, 1e-4, 0.02),
    predict_fn=noise_fn,
    encode_fn=None,
    decode_fn=None,
    sample_rate=8000,
  )


def found(model, clips, *names):
  return {of.name: of for of in twins.suitable(model, clips, names)}


def test_a_network_tells_its_twins_apart_and_a_shift_it_does_not(model, clips):
  kinds = found(model, clips, "polarity", "phase_90", "reversal", "shift")
  assert [name for name, of in kinds.items() if of.suitable] == [
    "polarity",
    "phase_90",
    "reversal",
  ]
  assert kinds["shift"].network == pytest.approx(0, abs=1e-5)
  assert kinds["shift"].encoder > 0.5
  assert "the network treats it like the clip" in kinds["shift"].reason


def test_polarity_of_an_odd_network_is_refused(clips):
  odd = denoiser(lambda x, t: x - 0.1 * x**3)
  kinds = found(odd, clips, "polarity", "phase_90")
  assert kinds["polarity"].network == pytest.approx(0, abs=1e-5)
  assert not kinds["polarity"].suitable
  assert kinds["phase_90"].network > 1e3 * kinds["polarity"].network
  refused = r"twins.names=polarity: the network treats it like"
  with pytest.raises(SettingError, match=refused):
    twins.check(odd, clips, ["polarity", "phase_90"])


def test_a_front_end_of_magnitudes_cannot_tell_phases(latent):
  clips = np.random.default_rng(1).normal(scale=0.1, size=(1, 1280)).astype(np.float32)
  kinds = found(latent, clips, "polarity", "reversal")
  assert "front ends that see magnitudes only" in kinds["polarity"].reason
  assert kinds["polarity"].encoder == pytest.approx(0, abs=1e-4)
  assert kinds["reversal"].encoder > twins.suitability.LEAST_ENCODER


def test_channels_of_a_mono_clip_cannot_be_swapped(model, clips):
  (swap,) = twins.suitable(model, clips, ["channel_swap"])
  assert swap.reason == "the clips have a single channel"


def test_equal_channels_cannot_be_swapped(model, clips):
  equal = np.repeat(clips[:, None], 2, axis=1)
  with pytest.raises(SettingError, match=r"twins.names=channel_swap: the channels of"):
    twins.check(model, equal, ["channel_swap"])


def test_of_a_swap_nobody_knows_that_models_do_not_mind():
  """So that no p-value comes from it without reference music."""
  assert twins.kind("channel_swap").prefers


def test_by_default_all_are_asked_that_need_no_further_package(model, clips):
  asked = [of.name for of in twins.suitable(model, clips)]
  assert "polarity" in asked
  assert "slower_3" not in asked


def test_no_label_and_no_order_of_clips_enters(model, clips):
  one = found(model, clips[:1], "polarity")["polarity"]
  both = found(model, clips, "polarity")["polarity"]
  assert one.network != both.network
  again = jax.tree.map(lambda x: x, found(model, clips, "polarity")["polarity"])
  assert again == both
