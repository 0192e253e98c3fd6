#!/usr/bin/env bash
# Train on a machine with a GPU and no network, in stages that can be repeated: docs/gpu.md says which command when.
#   train.sh receive FOLDER     take one part of the pack (only where it travels in parts)
#   train.sh start [STAGE...]   run the stages in the background (default: all), then as `wait`
#   train.sh wait SECONDS       follow the log until all is done or the time is up; collect what is there
#   train.sh run STAGE...       run stages in the foreground: install music mels vocoder denoiser export
# Settings, by environment: PACK, WORK, RESULTS, MUSIC_HOURS, VOCODER_HOURS, DENOISER_HOURS, BATCH, WORKERS, START_FROM,
# NETWORK, VOCODER_OPTIONS and DENOISER_OPTIONS (more overrides of conf/train.yaml).
set -euo pipefail
cd "$(dirname "$0")/../.."

WORK=${WORK:-/tmp/ditto-gpu}
PACK=${PACK:-.gpu}
RESULTS=${RESULTS:-$WORK/results}
WORKERS=${WORKERS:-$(nproc)}
PYTHON=${PYTHON:-python3}
PART_MIB=${PART_MIB:-15}
mkdir -p "$WORK" "$RESULTS"
WORK=$(cd "$WORK" && pwd)
export WORK PYTHONPATH=$WORK/site:$PWD PYTHONUNBUFFERED=1 DITTO_DATA=${DITTO_DATA:-$WORK/data} HYDRA_FULL_ERROR=1

receive() {
    mkdir -p "$WORK/pack"
    cp "$1"/* "$WORK/pack/"
}

install() {
    if [ -f "$PACK/pack.tar.xz" ]; then
        mkdir -p "$WORK/pack" && cp "$PACK/pack.tar.xz" "$WORK/pack/"
    else
        join_parts
    fi
    "$PYTHON" -m tarfile --filter data -e "$WORK/pack/pack.tar.xz" "$WORK/pack" # knows xz by itself
    "$PYTHON" -m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile --upgrade \
        --target "$WORK/site" "$WORK"/pack/wheels/*.whl
    "$PYTHON" -m ditto.training.small_text restore "$WORK/pack/encoder.tar.xz" "$WORK/site"
}

join_parts() { # ditto.types needs torch only, so this works before anything is installed
    "$PYTHON" -m ditto.training.parts join "$WORK/pack/pack.tar.xz"
}

music() {
    OMP_NUM_THREADS=1 "$PYTHON" -m ditto.data.build render --synth tinysoundfont --workers "$WORKERS" \
        --soundfont "$WORK/pack/soundfont.sf3" ${MUSIC_HOURS:+--hours "$MUSIC_HOURS"} ${MUSIC_COUNT:+--count "$MUSIC_COUNT"}
}

mels() {
    "$PYTHON" -m ditto.training.mels --workers "$WORKERS"
}

train() { # STAGE HOURS OVERRIDES...
    local stage=$1 hours=$2
    shift 2
    "$PYTHON" -m ditto.training.train stage="$stage" hours="$hours" folder="$WORK/$stage" \
        start_from="${START_FROM:-null}" +trainer.enable_progress_bar=false "$@"
}

vocoder() {
    # shellcheck disable=SC2086
    train vocoder "${VOCODER_HOURS:-0.06}" batch_size="${VOCODER_BATCH:-32}" +stage.data.workers="$WORKERS" ${VOCODER_OPTIONS:-}
}

denoiser() {
    # shellcheck disable=SC2086
    train denoiser "${DENOISER_HOURS:-0.2}" batch_size="${BATCH:-256}" network="${NETWORK:-unet}" \
        +stage.data.workers="$WORKERS" ${DENOISER_OPTIONS:-}
}

export_weights() {
    local with=()
    [ -f "$WORK/vocoder/last.ckpt" ] && with=(--vocoder "$WORK/vocoder")
    "$PYTHON" -m ditto.training.export "$WORK/denoiser" "${with[@]}" -o "$WORK/weights"
}

collect() { # weights, curves and the last picture as parts; the log beside them
    local files=()
    for path in weights denoiser/config.yaml vocoder/config.yaml denoiser/logs vocoder/logs; do
        [ -e "$WORK/$path" ] && files+=("$path")
    done
    for path in "$(ls "$WORK"/denoiser/samples/*.png 2>/dev/null | tail -1)" "$(ls "$WORK"/vocoder/samples/*.flac 2>/dev/null | tail -1)"; do
        [ -n "$path" ] && files+=("${path#"$WORK"/}")
    done
    if [ ${#files[@]} -gt 0 ]; then
        tar -cf "$WORK/trained.tar" -C "$WORK" "${files[@]}"
        "$PYTHON" -m ditto.training.parts split "$WORK/trained.tar" --mib "$PART_MIB" --parts "$RESULTS"
    fi
    [ ! -f "$WORK/log.txt" ] || tail -c 1000000 "$WORK/log.txt" >"$RESULTS/log.txt"
}

run() {
    for stage in "$@"; do
        echo "== $stage $(date -u +%H:%M:%S)"
        case $stage in
            export) export_weights ;;
            install | music | mels | vocoder | denoiser | collect) "$stage" ;;
            *) echo "error: no stage '$stage'" >&2 && exit 2 ;;
        esac
    done
}

follow() {
    local end=$((SECONDS + $1))
    while [ ! -f "$WORK/done" ] && [ "$SECONDS" -lt "$end" ]; do sleep 2; done
    tail -n 40 "$WORK/log.txt"
    [ -f "$WORK/done" ] && echo "done: exit code $(cat "$WORK/done")" || echo "still running"
    collect
}

start() {
    rm -f "$WORK/done"
    [ $# -gt 0 ] || set -- install music mels vocoder denoiser export
    # A session of its own: it outlives the call that started it.
    setsid bash -c '"$0" run "$@"; echo $? >"$WORK/done"' "$PWD/sweeps/gpu/train.sh" "$@" >>"$WORK/log.txt" 2>&1 </dev/null &
    follow "${WAIT:-540}"
}

case ${1:-} in
    receive | start | run) "$@" ;;
    wait) follow "${2:-540}" ;;
    *) sed -n '2,8s/^# \?//p' "$0" && exit 2 ;;
esac
