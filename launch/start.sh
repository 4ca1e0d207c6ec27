#!/usr/bin/env bash
# The container's entry point: installs what its image lacks, then becomes `python3 -m launch.entry`, which so gets
# SageMaker's signals itself. DOGBREED_INSTALL=no: everything is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

install() {
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore -r requirements.txt
}

# A container's first process heeds no signal that it does not ask for; bash heeds this one when pip has ended.
trap 'exit 143' TERM
if [[ -f requirements.txt && "${DOGBREED_INSTALL:-yes}" != no ]]; then
  log=$(mktemp)
  if ! install 2>&1 | tee "$log"; then
    output="${SAGEMAKER_BASE_DIR:-/opt/ml}/output"
    mkdir -p "$output"
    # Of this file SageMaker keeps 1,024 characters. pip gives its reasons in lines that begin with ERROR.
    reasons=$(grep '^ERROR' "$log" || tail -n 5 "$log")
    printf 'requirements.txt could not be installed\n%.900s\n' "$reasons" > "$output/failure"
    exit 1
  fi
  rm "$log"
fi
exec python3 -m launch.entry
