import base64
import io

import matplotlib
import numpy as np
import soundfile
from matplotlib import pyplot as plt

from lsaprobe_jax.report import media


def decoded(uri):
  return io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))


def test_a_sound_is_read_back_as_it_was():
  samples = np.random.default_rng(0).integers(-32768, 32768, 500, dtype=np.int16)
  found, rate = soundfile.read(decoded(media.wav_uri(samples, 8000)), dtype="int16")
  assert rate == 8000
  np.testing.assert_array_equal(found, samples)


def test_a_sound_of_two_channels_keeps_them():
  draw = np.random.default_rng(1).integers
  samples = draw(-32768, 32768, (2, 500), dtype=np.int16)
  found, rate = soundfile.read(decoded(media.wav_uri(samples, 44100)), dtype="int16")
  assert rate == 44100
  np.testing.assert_array_equal(found.T, samples)


def test_an_image_has_its_lowest_band_at_the_bottom():
  image = np.arange(6, dtype=np.uint8).reshape(2, 3) * 50
  found = plt.imread(decoded(media.png_uri(image)), format="png")[..., :3]
  expected = matplotlib.colormaps["magma"](image[::-1])[..., :3]
  np.testing.assert_allclose(found, expected, atol=1 / 255)
