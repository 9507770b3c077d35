# ruff: noqa: E501 (names of files as the original has them)
"""Small folders in the exact layout of MAESTRO v3.0.0 and FMA."""

import csv

import numpy as np
import soundfile

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data.audio import resample
from lsaprobe_jax.data.build.tfds.maestro import CSV

HEADER = (
  "canonical_composer",
  "canonical_title",
  "split",
  "year",
  "midi_filename",
  "audio_filename",
  "duration",
)
# (composer, title, year, file): names and titles as the original has them.
PERFORMANCES = (
  ("Alban Berg", "Sonata Op. 1", 2017, "MIDI-Unprocessed_066_PIANO066_MID--AUDIO-split_07-07-17_Piano-e_3-02_wav--3"),
  ("Alexander Scriabin", "Sonata No. 9", 2006, "MIDI-Unprocessed_24_R1_2006_01-05_ORIG_MID--AUDIO_24_R1_2006_03_Track03_wav"),
  ("Alexander Scriabin", "Sonata No. 9, Op. 68", 2009, "MIDI-Unprocessed_11_R1_2009_06-09_ORIG_MID--AUDIO_11_R1_2009_11_R1_2009_08_WAV"),
  ("Alexander Scriabin", 'Sonata No. 9, Op. 68, "Black Mass"', 2018, "MIDI-Unprocessed_Recital13-15_MID--AUDIO_15_R1_2018_wav--1"),
  ("Claude Debussy", "L'isle joyeuse, L. 106", 2018, "MIDI-Unprocessed_Recital1-3_MID--AUDIO_02_R1_2018_wav--4"),
  ("Claude Debussy", "Etude No. 7", 2004, "MIDI-Unprocessed_SMF_17_R1_2004_03-06_ORIG_MID--AUDIO_20_R2_2004_12_Track12_wav--1"),
  ("Claude Debussy", "Pour le piano (Complete)", 2015, "MIDI-Unprocessed_R2_D2-12-13-15_mid--AUDIO-from_mp3_12_R2_2015_wav--3"),
  ("Claude Debussy", "Jardins sous la pluie", 2011, "MIDI-Unprocessed_04_R3_2011_MID--AUDIO_R3-D2_05_Track05_wav"),
  ("Franz Liszt", "Waltz", 2013, "ORIG-MIDI_01_7_6_13_Group__MID--AUDIO_03_R1_2013_wav--4"),
  ("Frédéric Chopin", "Waltz, Op. 38", 2014, "MIDI-UNPROCESSED_14-15_R1_2014_MID--AUDIO_15_R1_2014_wav--4"),
  ("Domenico Scarlatti", "Sonata in B Minor, K. 87", 2014, "MIDI-UNPROCESSED_11-13_R1_2014_MID--AUDIO_13_R1_2014_wav--1"),
  ("Joseph Haydn", "Sonata, Hob. XVI:48", 2008, "MIDI-Unprocessed_09_R3_2008_01-07_ORIG_MID--AUDIO_09_R3_2008_wav--3"),
)  # fmt: skip
# The same recording under another title and name, as a careless upload would have it.
COPY = (
  "Anonymous",
  "Untitled",
  2009,
  "MIDI-Unprocessed_99_R1_2009_MID--AUDIO_77_R1_2009_x",
)
COPIED = 4
TRACKS_CSV = (
  ("", "artist", "artist", "set", "set", "track", "track", "track"),
  ("", "id", "name", "split", "subset", "genre_top", "license", "title"),
  ("track_id", "", "", "", "", "", "", ""),
)


def _tracks():
  """Real music, 8 s each, another every time."""
  corpus = corpora.open_corpus("multigenre", sample_rate=16000, clip_seconds=4.0)
  for track in corpus.tracks:
    at = [i for i, clip in enumerate(corpus.clips) if clip.track == track]
    yield np.concatenate([corpus.audio[i] for i in at])


def write_maestro(folder):
  """`folder/maestro-v3.0.0/`: 44.1 kHz stereo files of 8 s, and one copy."""
  root = folder / "maestro-v3.0.0"
  rows, music = [], _tracks()
  performances = [*PERFORMANCES, COPY]
  audio = [resample(next(music), 16000, 44100) for _ in PERFORMANCES]
  audio.append(np.concatenate([np.zeros(12345, np.float32), 0.6 * audio[COPIED]]))
  for (composer, title, year, name), samples in zip(performances, audio, strict=True):
    path = f"{year}/{name}.wav"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(root / path, np.stack([samples] * 2, axis=1), 44100, "PCM_16")
    midi = path.replace(".wav", ".midi")
    rows.append((composer, title, "train", year, midi, path, len(samples) / 44100))
  with (root / CSV).open("w", encoding="utf-8", newline="") as file:
    csv.writer(file).writerows([HEADER, *rows])
  return folder


def write_fma(folder, count=14):
  """`folder/fma_metadata/tracks.csv` and `folder/fma_large/000/...mp3`.

  Two tracks an artist; a file is missing, one is no audio, one is on the list of
  broken ones, and one track is of the subset `full`.
  """
  rows, music = [], _tracks()
  numbers = [2, 5, 10, 140, 141, 1001, 1002, 2003, 2004, 3000, 3001, 3002, 3003, 3004]
  extra = [(1486, "large"), (4000, "large"), (4001, "large"), (4002, "full")]
  listed = [(number, "small" if i % 3 else "large") for i, number in enumerate(numbers)]
  for i, (number, subset) in enumerate([*listed[:count], *extra]):
    genre = ("Rock", "Folk", "")[i % 3]
    name = f"{number:06d}"
    row = (number, 100 + i // 2, f"Artist {i // 2}", "training", subset, genre)
    rows.append((*row, "Attribution 3.0", f"Title, with a comma\nand a line {i}"))
    path = folder / "fma_large" / name[:3] / f"{name}.mp3"
    path.parent.mkdir(parents=True, exist_ok=True)
    if number == 4000:
      path.write_bytes(b"ID3" + bytes(2000))
    elif number != 4001:
      soundfile.write(path, resample(next(music), 16000, 44100), 44100)
  (folder / "fma_metadata").mkdir(parents=True)
  path = folder / "fma_metadata" / "tracks.csv"
  with path.open("w", encoding="utf-8", newline="") as file:
    csv.writer(file).writerows([*TRACKS_CSV, *rows])
  return folder
