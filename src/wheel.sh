#!/usr/bin/env bash
# Build the wheel of a commit: the same bytes on every machine, because files have the commit's time and one set of modes.
set -euo pipefail
out=$(realpath -m "$1") commit=${2:-HEAD}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
umask 022
git archive "$commit" | tar -x --no-same-permissions -C "$folder"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit") uv build -q --wheel --out-dir "$out" "$folder"
