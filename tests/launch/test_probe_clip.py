"""launch.probe from its command line, on an embedded model."""

import re

import pytest
from launching import complaint

AUDIO = (
  "--audio=lsaprobe_jax/data/shipped/piano/fur-elise.ogg",
  "--start=2",
  "--seconds=0.256",
)
FLAGS = (
  "--model=diffwave-piano-a",
  "--t_ratio=0.2",
  "--num_inference_steps=1",
  "--rungs=4",
  "--ascent=1",
  "--distance=waveform",
)


def test_a_clip_is_probed(launcher):
  done = launcher.run("probe", *FLAGS, *AUDIO, "--tau=1e-5")
  assert done.returncode == 0, done.stderr
  rungs = re.findall(r"^eta (\S+)  D (\S+)$", done.stdout, re.M)
  assert [float(eta) for eta, _ in rungs] == [0.05, 0.126, 0.3175, 0.8]
  degradations = [float(degradation) for _, degradation in rungs]
  assert degradations == sorted(degradations)
  (cost,) = re.findall(r"^C_adv (\S+) at tau 1e-05$", done.stdout, re.M)
  # The first rung whose degradation reaches tau bounds it from above.
  assert float(cost) <= min(float(e) for e, d in rungs if float(d) >= 1e-5)
  assert re.search(r"NFE \d+ forward, \d+ backward, in \S+ s", done.stderr)


@pytest.mark.parametrize(
  ("flags", "match"),
  [
    (("--model=none", *AUDIO), "error: no model folder none"),
    (("--model=diffwave-piano-a", "--audio=none.wav"), "none.wav: no such file"),
    ((*FLAGS, *AUDIO, "--seconds=1000"), "samples are left, not 8000000"),
    ((*FLAGS, *AUDIO, "--t_ratio=1.5"), "error: --t_ratio=1.5 gives t = "),
    ((*FLAGS, *AUDIO, "--tau=0"), "error: --tau=0: a number above 0"),
    ((*FLAGS, *AUDIO, "--eta_max=-0.1"), "error: --eta_max=-0.1: it must be positive"),
    ((*FLAGS, *AUDIO, "--seed=-1"), "--seed=-1"),
    ((*FLAGS, *AUDIO, "--distance=loud"), "error: --distance=loud: known: waveform"),
  ],
)
def test_what_cannot_be_probed_is_refused(launcher, flags, match):
  assert match in complaint(launcher.run("probe", *flags))
