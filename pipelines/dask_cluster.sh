#!/usr/bin/env bash
# A Dask cluster of plain `dask scheduler` and `dask worker` processes, and one run on it.
#
#     WORKERS=4 pipelines/dask_cluster.sh predict scene.tif -o map.tif
#     WORKERS=4 pipelines/dask_cluster.sh batch scenes.csv -o maps/
#
# What follows the script's name is a geoseg command; `--scheduler-file` is added to it. On several machines: start the
# scheduler on one with `--interface`, `dask worker` with the same scheduler file on the others (the file, the scenes
# and the outputs on a disk that all of them see, or by URL), and then geoseg anywhere. Whoever reaches a scheduler can
# run code on its workers: outside loopback add `--tls-ca-file`, `--tls-cert` and `--tls-key` to all three commands.
#
# WORKERS    worker processes [2]
# THREADS    tiles in work at once in each: one computes, the others read or write [3]
# PYTHON     the interpreter that geoseg is installed for [python]
set -euo pipefail

python="${PYTHON:-python}"
workers="${WORKERS:-2}"
threads="${THREADS:-3}"
folder="$(mktemp -d)"
started=()

# Each started process leads a process group of its own (set -m), so that a worker's nanny takes its worker along.
set -m
leave() {
  for pid in "${started[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cores="$("$python" -c 'import os; print(len(os.sched_getaffinity(0)))')"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(((cores + workers - 1) / workers))}"

export DASK_TEMPORARY_DIRECTORY="$folder" # nothing is left behind in the system's own

# --dashboard-address even without a dashboard: the default listens on every network.
"$python" -m distributed.cli.dask_scheduler --host 127.0.0.1 --port 0 --scheduler-file "$folder/scheduler.json" \
  --no-dashboard --dashboard-address 127.0.0.1:0 >"$folder/scheduler.log" 2>&1 &
started+=($!)
for number in $(seq "$workers"); do
  "$python" -m distributed.cli.dask_worker --scheduler-file "$folder/scheduler.json" --host 127.0.0.1 \
    --nthreads "$threads" --memory-limit "$(awk -v n="$workers" 'BEGIN { printf "%.3f", 0.9 / n }')" \
    --no-dashboard --dashboard-address 127.0.0.1:0 --local-directory "$folder" --name "worker-$number" \
    >"$folder/worker-$number.log" 2>&1 &
  started+=($!)
done

code=0
"$python" -c 'from geoseg.cli import main; main()' "$@" --scheduler-file "$folder/scheduler.json" &
started+=($!)
wait "$!" || code=$?
if ((code == 1)); then
  tail -n 3 "$folder"/*.log >&2
fi
exit "$code"
