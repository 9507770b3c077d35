#!/bin/bash
# What one accelerator does, within eight minutes: numerics, throughput, the fair
# benchmark. Each part is saved as it ends, and one that fails leaves the others alone.
#
#   bash benchmarks/accelerator.sh [FOLDER]          (default runs/accelerator)
#   JAX_PLATFORMS=cpu bash benchmarks/accelerator.sh --tiny FOLDER     a rehearsal
#
# SECONDS_IN_ALL (450) bounds all parts, PYTHON (python3) runs them, and NUMERICS names
# begins of pieces where not all are wanted. Both sides of the fair benchmark are
# processes of their own, which share the accelerator's memory.
set -u
cd "$(dirname "$0")/.."
tiny=''
if [ "${1:-}" = --tiny ]; then tiny=yes; shift; fi
folder=${1:-runs/accelerator}
python=${PYTHON:-python3}
budget=${SECONDS_IN_ALL:-450}
mkdir -p "$folder/logs"
summary=$folder/accelerator.md
cache="--compilation_cache=$folder/cache"
export TORCHINDUCTOR_CACHE_DIR=$folder/inductor
: > "$folder/parts.txt"

# Puts together what there is so far.
summarise() {
  {
    echo '# One accelerator'
    echo
    cat "$folder/parts.txt"
    for part in numerics lmnt_throughput lmnt published_throughput published batches \
      published_compiled; do
      if [ -s "$folder/$part.md" ]; then echo; sed 's/^#/##/' "$folder/$part.md"; fi
    done
  } > "$summary.new"
  mv "$summary.new" "$summary"
}

# part NAME SECONDS COMMAND...: runs a command for no longer than its share and what is
# left of all.
part() {
  local name=$1 most=$2 left=$((budget - SECONDS)) begin=$SECONDS code
  shift 2
  if [ "$left" -lt 5 ]; then
    echo "- $name: not begun, no time was left." >> "$folder/parts.txt"
    summarise
    return
  fi
  [ "$left" -lt "$most" ] && most=$left
  timeout -k 5 "$most" "$@" > "$folder/logs/$name.txt" 2>&1
  code=$?
  case $code in
    0) echo "- $name: done in $((SECONDS - begin)) s." ;;
    124 | 137) echo "- $name: stopped after $((SECONDS - begin)) s; what it had is kept." ;;
    *) echo "- $name: failed ($code) after $((SECONDS - begin)) s: $(tail -n 1 "$folder/logs/$name.txt" | cut -c 1-200)" ;;
  esac >> "$folder/parts.txt"
  summarise
}

numerics=("$python" -m benchmarks.numerics --reference=benchmarks/numerics.npz
  "--output=$folder/numerics.md" "$cache")
throughput=("$python" -m benchmarks.throughput "$cache")
fair=("$python" -m benchmarks.fair "$cache" --searches= --distances=waveform)
all=--precisions=float32,tf32,bfloat16

if [ "$tiny" ]; then
  export XLA_FLAGS='--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true'
  part numerics 60 "${numerics[@]}" --precisions=float32 \
    '--pieces=waveform,log_mel,DiffWave D in waveform,DiffWave continuation'
  part lmnt_throughput 60 "${throughput[@]}" "--output=$folder/lmnt_throughput.md" \
    --sizes=tiny_diffwave --largest=tiny_diffwave --batches=2 --rungs=2 --runs=1 \
    --precisions=float32,bfloat16 --device_bytes=100000000 --most=4
  part published_throughput 60 "${throughput[@]}" \
    "--output=$folder/published_throughput.md" --sizes=tiny_musicldm --largest= \
    --batches=1 --rungs=2 --runs=1 --precisions=float32
  part lmnt 60 "${fair[@]}" "--output=$folder/lmnt.md" --sizes=tiny_diffwave --clips=2 \
    --batches=2 --rungs=2 --rounds=2 --peers=eager --precisions=float32,bfloat16
  part published 60 "${fair[@]}" "--output=$folder/published.md" \
    --sizes=tiny_musicldm --clips=1 --batches=1 --rungs=2 --rounds=2 --peers=eager
  cat "$summary"
  exit
fi

lmnt=(--rungs=16)
published=(--rungs=4)
few=--precisions=float32
# Programs are compiled in the background while numerics, which nobody times, are run.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
compile() {
  timeout 150 "${throughput[@]}" --compile_only --output= "${@:2}" \
    > "$folder/logs/compile_$1.txt" 2>&1
}
compile lmnt --sizes=lmnt "${lmnt[@]}" --batches=16 "$all" &
waiting=($!)
compile lmnt_more --sizes=lmnt "${lmnt[@]}" --batches=1,64 "$few" &
waiting+=($!)
compile published --sizes=published_musicldm "${published[@]}" --batches=4 "$all" &
waiting+=($!)
part numerics 140 "${numerics[@]}" ${NUMERICS:+"--pieces=$NUMERICS"}
wait "${waiting[@]}"
echo "- compiling in the background: done after $SECONDS s." >> "$folder/parts.txt"
unset XLA_PYTHON_CLIENT_PREALLOCATE

# Runs ours with nothing beside it.
alone() {
  XLA_PYTHON_CLIENT_MEM_FRACTION=0.9 part "$@"
}
alone lmnt_throughput 60 "${throughput[@]}" "--output=$folder/lmnt_throughput.md" \
  --sizes=lmnt --largest= "${lmnt[@]}" --batches=16 --runs=3 "$all"
part lmnt 100 "${fair[@]}" "--output=$folder/lmnt.md" --sizes=lmnt "${lmnt[@]}" \
  --clips=16 --batches=16 --rounds=3 "$all" --limit=60
alone published_throughput 60 "${throughput[@]}" \
  "--output=$folder/published_throughput.md" --sizes=published_musicldm --largest= \
  "${published[@]}" --batches=4 --runs=3 "$all"
part published 80 "${fair[@]}" "--output=$folder/published.md" \
  --sizes=published_musicldm "${published[@]}" --clips=4 --batches=4 --rounds=3 \
  "$all" --peers=eager --limit=60
alone batches 60 "${throughput[@]}" "--output=$folder/batches.md" --sizes=lmnt \
  --largest=lmnt "${lmnt[@]}" --batches=1,64 --runs=2 "$few"
part published_compiled 100 "${fair[@]}" "--output=$folder/published_compiled.md" \
  --sizes=published_musicldm "${published[@]}" --clips=4 --batches=4 --rounds=3 \
  "$few" --peers=compiled --limit=90
cat "$summary"
