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
train() { # MODEL PART DATA [--start-from CHECKPOINT]
    p2c train --params "$recipes/$1-$2.yaml" --data "$3" --weights "$out/weights" --out "$out/$1-$2" --resume "${@:4}"
}
for model in full slim; do
    train $model 128 "$out/faces"
    train $model 256 "$out/faces" --start-from "$(last "$out/$model-128")"
    train $model world "$out/faces" --start-from "$(last "$out/$model-256")"
    # Blend part 2, which knows the style, into part 3, which also knows people without drawings: docs/reference/model-card.md.
    python -m photo2cartoon.export.adopt "$(last "$out/$model-world")" "$out/$model-blended" \
        --blend "$(last "$out/$model-256")" --share 0.4
done
[ -e "$out/labelled/pictures.csv" ] ||
    p2c pseudo-label --model "$out/full-blended" --data "$out/faces" --weights "$out/weights" --out "$out/labelled"
for model in full slim; do
    train $model everyone "$out/labelled" --start-from "$out/$model-blended"
    train $model identity "$out/labelled" --start-from "$(last "$out/$model-everyone")"
    python -m photo2cartoon.export.adopt "$(last "$out/$model-identity")" $model
done
