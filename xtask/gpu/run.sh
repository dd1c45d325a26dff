#!/usr/bin/env bash
# Everything that takd has to show on a GPU, in one go, on a machine with an NVIDIA driver, bash and nothing else of ours:
#
#   ./run.sh [RESULTS]        default: results-gpu beside this file
#
# `cargo xtask pack-gpu` made this folder. Each part has a time limit, and its output is kept in RESULTS/NAME.log whether it
# does well or not; RESULTS/summary.tsv says how each ended. What needs PyTorch (python3) or data is skipped without them.
# The libraries of CUDA 13 (cuBLAS, cuRAND, NVRTC) come from PyTorch's own wheels or from an ordinary toolkit. PyTorch's compiled
# variants need a C compiler and Python's headers; without them "PyTorch's best" is the eager one, and stderr says so.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
results=${1:-$here/results-gpu}
mkdir -p "$results" && results=$(cd "$results" && pwd) && cd "$here" || exit 1

# Where the libraries are: PyTorch's wheels, so that both sides use the same, a toolkit, those that the loader knows.
folders=()
if wheels=$(python3 -c 'import nvidia; print(*nvidia.__path__)' 2>/dev/null); then
  for wheel in $wheels; do folders+=("$wheel"/*/lib); done
fi
folders+=(/usr/local/cuda/lib64 /usr/local/nvidia/lib64)
for folder in "${folders[@]}"; do
  [[ -d $folder ]] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
export LD_LIBRARY_PATH
python=()
python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null && python=(--python "$(command -v python3)")
data=()
[[ -d data ]] && data=(--data-dir "$here/data")
[[ -d reference ]] && export TAKD_REFERENCE_DIR=$here/reference
export RUST_BACKTRACE=1

printf 'part\texit\tseconds\n' > "$results/summary.tsv"
part() { # NAME SECONDS COMMAND…
  local name=$1 limit=$2 start=$SECONDS
  shift 2
  echo "== $name: $*"
  timeout --kill-after=20 "$limit" "$@" > "$results/$name.log" 2>&1
  local status=$?
  printf '%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - start))" | tee -a "$results/summary.tsv"
}

part machine 60 bash -c 'nvidia-smi && nvidia-smi -q -d MEMORY,CLOCK,COMPUTE; cc --version; python3 -m pip list 2>/dev/null'
for test in tests/*; do
  part "test-$(basename "$test")" 600 "$test" --test-threads 4 --show-output
done
part loss 600 bin/bench_loss --device cuda "${python[@]}"
for network in plane2 plane4 plane10 resnet8 resnet20 resnet110; do
  part "step-$network" 1800 bin/bench_step --device cuda --json "${python[@]}" ${python:+--compile} "$network"
done
quick=(bin/takd reproduce-table1 --preset quick --device cuda --quiet --json)
part quick 600 "${quick[@]}" --out "$results/quick"
part quick-again 600 "${quick[@]}" --out "$results/quick-again"
# The same seed gives the same bits on the same GPU, whatever runs beside it.
part same-bits 60 bash -c 'cd "$1" && compgen -G "quick/runs/*/model.safetensors" && diff <(cd quick/runs && sha256sum */model.safetensors) \
  <(cd quick-again/runs && sha256sum */model.safetensors)' same-bits "$results"
part quick-tf32 600 bin/takd reproduce-table1 --preset quick --device cuda-tf32 --quiet --out "$results/quick-tf32"
if ((${#data[@]})); then
  cells=$(cd data && for set in cifar10 cifar100; do [[ -d $set ]] && echo "plain/$set,resnet/$set"; done | paste -sd,)
  part table1 5400 bin/takd reproduce-table1 --device cuda --protocol paper --seeds 31 --cells "$cells" --offline \
    "${data[@]}" --out "$results/table1"
fi
cat "$results/summary.tsv"
