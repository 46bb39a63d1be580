#!/usr/bin/env bash
# On a machine with a GPU and a CUDA build of torch: the tests that need one, then the measurements. Within 12 minutes.
# PYTHON: an interpreter that has the packages of `train`, `test` and `bench`, or most of them; what is missing is said.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}"
"$python" -c 'import torch; print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device")'
timeout 300 "$python" -m pytest tests/train/test_cuda.py
timeout 400 "$python" -m bench on_gpu --results "${OUT:-.}/on_gpu.json" --page "${OUT:-.}/on_gpu.md"
