"""Writes goldens.npz: what the PyTorch originals say of two pieces of real music.

  apt-get download singularity-music && dpkg -x singularity-music_*.deb music
  pip install torch auraloss==0.4.0 && pip install --no-deps cdpam==0.0.6
  python tests/distances/make_goldens.py music/usr/share/games/singularity/music

Takes a minute on one core. See README.md beside this file for the music's credit.
"""

import pathlib
import sys

import distance_originals as originals
import librosa
import numpy as np

SAMPLE_RATE = 22050
SAMPLES = 8192
MEASURED = 4096  # samples that the originals measure, to keep the tests quick
# Track, and second at which the cut begins.
CUTS = (("Awakening.ogg", 30.0), ("Coherence.ogg", 60.0))


def main(folder: pathlib.Path) -> None:
  """Cuts, degrades, measures, writes."""
  random = np.random.default_rng(0)
  arrays = {"sample_rate": SAMPLE_RATE}
  pairs = []
  for track, start in CUTS:
    audio, _ = librosa.load(
      folder / track, sr=SAMPLE_RATE, offset=start, duration=SAMPLES / SAMPLE_RATE + 0.1
    )
    clean = audio[:SAMPLES]
    # As a reconstruction differs: other phases, less treble, a little noise.
    worse = 0.7 * clean + 0.3 * audio[5 : SAMPLES + 5]
    worse = worse + 0.003 * random.standard_normal(SAMPLES)
    pairs.append([np.round(x * 32768).clip(-32768, 32767) for x in (clean, worse)])
  arrays["audio"] = np.array(pairs, np.int16)
  audio = (arrays["audio"][..., :MEASURED] / 32768).astype(np.float32)
  distances = {
    "mr_stft": originals.mr_stft(),
    "log_mel": originals.log_mel(SAMPLE_RATE),
    "cdpam": originals.cdpam(),
  }
  for name, distance in distances.items():
    results = [originals.value_and_grad(distance, *pair) for pair in audio]
    arrays[name] = np.array([value for value, _ in results], np.float32)
    # Every 16th sample of the gradient tells it from any other.
    arrays[name + "_grad"] = np.array([grad[::16] for _, grad in results])
  path = pathlib.Path(__file__).with_name("goldens.npz")
  np.savez_compressed(path, **arrays)


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
