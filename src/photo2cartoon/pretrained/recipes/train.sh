#!/usr/bin/env bash
# Train the models that come with the project: bash train.sh DATA OUT
# DATA contains photos/, drawings/ (of some of the photographs, with the same file names) and cartoons/.
# Finished work is skipped, and an interrupted run resumes.
set -euo pipefail
recipes=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$1 out=$2
mkdir -p "$out"
p2c assets --out "$out/weights"
[ -e "$out/faces/pictures.csv" ] || {
    echo "preprocess: {test_list: $recipes/held-out.txt}" > "$out/preprocess.yaml"
    p2c preprocess --params "$out/preprocess.yaml" --photos "$data/photos" --drawings "$data/drawings" \
        --cartoons "$data/cartoons" --weights "$out/weights" --out "$out/faces"
}
last() { ls -d "$1"/checkpoints/step-* | tail -1; }
for model in full slim; do
    start=()
    for part in 128 256 world; do
        p2c train --params "$recipes/$model-$part.yaml" --data "$out/faces" --weights "$out/weights" \
            --out "$out/$model-$part" --resume "${start[@]}"
        start=(--start-from "$(last "$out/$model-$part")")
    done
    # Blend part 2, which knows the style, into part 3, which also knows people without drawings: docs/model-card.md.
    python -m photo2cartoon.export.adopt "$(last "$out/$model-world")" "$model" --blend "$(last "$out/$model-256")" --share 0.4
done
