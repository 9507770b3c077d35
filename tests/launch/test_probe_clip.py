"""launch.probe from its command line, on an embedded model."""

import re

import numpy as np
import pytest
import soundfile
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


def test_a_tau_out_of_reach_is_censored(launcher):
  done = launcher.run("probe", *FLAGS, *AUDIO, "--tau=1e3")
  assert done.returncode == 0, done.stderr
  assert "tau 1000 is not reached within eta 0.8: censored" in done.stdout


@pytest.mark.parametrize(
  ("flags", "match"),
  [
    (("--model=none", *AUDIO), "no model folder none"),
    (("--model=diffwave-piano-a", "--audio=none.wav"), "none.wav: no such file"),
    ((*FLAGS, *AUDIO, "--seconds=1000"), "samples are left, not 8000000"),
    ((*FLAGS, *AUDIO, "--t_ratio=1.5"), "t_ratio=1.5"),
    ((*FLAGS, *AUDIO, "--tau=0"), "--tau=0: a number above 0"),
    ((*FLAGS, *AUDIO, "--tau=-1"), "--tau=-1: a number above 0"),
    ((*FLAGS, *AUDIO, "--eta_max=-0.1"), "--eta_max=-0.1: it must be positive"),
    ((*FLAGS, *AUDIO, "--seed=-1"), "--seed=-1"),
    ((*FLAGS, *AUDIO, "--distance=loud"), "distance=loud: known: "),
  ],
)
def test_what_cannot_be_probed_is_refused(launcher, flags, match):
  assert match in complaint(launcher.run("probe", *flags))


TIMES = np.arange(4000) / 8000


@pytest.mark.parametrize(
  ("samples", "match"),
  [
    (np.zeros(4000), "silent"),
    (np.full(4000, 0.5), "constant"),
    (np.where(np.arange(4000) == 2000, 0.9, 0.0), "click"),
    (1e30 * np.sin(2000 * TIMES), "export it again"),
    (32767 * np.sin(2000 * TIMES), "they look like integers stored as floats"),
  ],
)
def test_audio_that_no_cost_can_be_had_of_is_refused(
  launcher, tmp_path, samples, match
):
  path = tmp_path / "clip.wav"
  soundfile.write(path, samples, 8000, "FLOAT")
  done = launcher.run("probe", *FLAGS, f"--audio={path}", "--seconds=0.5", "--tau=1")
  assert match in complaint(done)
  assert str(path) in complaint(done)
  assert done.stdout == ""


def test_a_level_a_little_above_full_scale_is_probed(launcher, tmp_path):
  path = tmp_path / "clip.wav"
  soundfile.write(path, 1.4 * np.sin(2000 * TIMES), 8000, "FLOAT")
  flags = (f"--audio={path}", "--start=0", "--seconds=0.256")
  assert launcher.run("probe", *FLAGS, *flags).returncode == 0
