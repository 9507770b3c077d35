"""Scores to sound: 'score-rendered piano', real compositions played by samples."""

import pathlib

from lsaprobe_jax import optional
from lsaprobe_jax.data import border
from lsaprobe_jax.data.build import fetch

SOUNDFONT = "usr/share/sounds/sf2/FluidR3_GM.sf2"
# Above the corpus rate: the samples are made for 44.1 kHz, and the common path
# resamples everything alike.
RENDER_RATE = 44100
_EXTRA = "corpora"
# Controllers that choose an instrument bank.
_BANK_SELECT = (0, 32)


def soundfont(downloads) -> pathlib.Path:
  """Finds FluidR3_GM.sf2, installed or unpacked from fluid-soundfont-gm."""
  path = pathlib.Path("/") / SOUNDFONT
  if not path.is_file():
    path = fetch.debian("fluid-soundfont-gm", downloads)[0] / SOUNDFONT
  # fluidsynth takes another font, without a word, where this one is missing.
  if not path.is_file():
    raise fetch.FetchError(f"{path}: no such soundfont; unpack the package again")
  return path


def piano_only(source, target) -> None:
  """Copies a MIDI file without its choices of instrument: all of it on a piano."""
  mido = optional.require("mido", _EXTRA)
  song = mido.MidiFile(source)
  for track in song.tracks:
    _strip_instruments(track)
  song.save(target)


def _strip_instruments(track) -> None:
  """Drops the messages that choose instruments; their time goes to the next one."""
  kept, waiting = [], 0
  for message in track:
    bank = message.type == "control_change" and message.control in _BANK_SELECT
    if bank or message.type in ("program_change", "sysex"):
      waiting += message.time
    else:
      kept.append(message.copy(time=message.time + waiting))
      waiting = 0
  track[:] = kept


def render(score, wav, font) -> None:
  """Plays a MIDI file on the soundfont's piano into a 44.1 kHz float wav file."""
  font, wav = pathlib.Path(font), pathlib.Path(wav)
  if not font.is_file():
    raise fetch.FetchError(f"{font}: no such soundfont; install fluid-soundfont-gm")
  piano = wav.with_suffix(".mid")
  optional.require("mido", _EXTRA)
  with border.border(score, "get the score again"):
    piano_only(score, piano)
  command = ["fluidsynth", "-n", "-i", "-q", "-f", "/dev/null", "-g", "1"]
  command += ["-r", str(RENDER_RATE), "-O", "float", "-T", "wav", "-F", str(wav)]
  mend = "apt-get install fluidsynth"
  fetch.call([*command, str(font), str(piano)], mend=mend)
  if not wav.is_file():
    raise fetch.FetchError(f"fluidsynth wrote no {wav}; {mend}")


def score_to_midi(score, target) -> None:
  """Converts MusicXML or another score music21 reads into a MIDI file.

  Raises:
    AudioError: it cannot be played as it is written, as where repeats do not close.
  """
  music21 = optional.require("music21", _EXTRA)
  with border.border(score, "leave it out"):
    music21.converter.parse(score, forceSource=True).write("midi", fp=target)


def music21_corpus() -> pathlib.Path:
  """Returns the folder of scores inside the installed music21."""
  return pathlib.Path(optional.require("music21", _EXTRA).__file__).parent / "corpus"


def fluidsynth_version() -> str:
  """Returns the version of fluidsynth, such as `2.3.1`."""
  text = fetch.call(["fluidsynth", "--version"], mend="apt-get install fluidsynth")
  return text.split("version", 1)[-1].split()[0]
