#!/usr/bin/env bash
# Train on a machine with a GPU and no network, in stages that can be repeated: docs/gpu.md says which command when.
#   train.sh receive PATH...    take parts of the pack or of a packed state: files, or folders of them
#   train.sh start [STAGE...]   run the stages in the background (default: a first loan's), then as `wait`
#   train.sh wait SECONDS       follow the log until all is done or the time is up; collect what is there
#   train.sh pause [RUN]        let training stop after its step (default: denoiser); the stages after it follow
#   train.sh bring N [RUN]      copy the Nth group of BRING parts of the packed state to RESULTS
#   train.sh run STAGE...       run stages in the foreground: install check music mels features prepare vocoder
#                               vocoder_adversarial denoiser state export quality controlnet readout
# `prepare` is music and mels while `check` tries every stage on a few pieces. Training takes up a state that was received.
# Settings, by environment: PACK, WORK, RESULTS, PYTHON, DEVICE, WORKERS, TAKES, MUSIC_HOURS, MUSIC_COUNT, BATCH, NETWORK,
# START_FROM, BASE, QUALITY_N, BRING; hours of the whole budget: DENOISER_HOURS, VOCODER_HOURS, CONTROLNET_HOURS; of this
# loan: PAUSE_HOURS; more overrides: VOCODER_OPTIONS, DENOISER_OPTIONS, CONTROLNET_OPTIONS, READOUT_OPTIONS, QUALITY_OPTIONS.
set -euo pipefail
cd "$(dirname "$0")/../.."
SELF=$PWD/sweeps/gpu/train.sh

WORK=${WORK:-/tmp/ditto-gpu}
PACK=${PACK:-.gpu}
RESULTS=${RESULTS:-$WORK/results}
WORKERS=${WORKERS:-$(nproc)}
PYTHON=${PYTHON:-python3}
PART_MIB=${PART_MIB:-14}
BRING=${BRING:-4}
FIRST_LOAN=(install prepare vocoder_adversarial denoiser state export quality)
mkdir -p "$WORK" "$RESULTS"
WORK=$(cd "$WORK" && pwd)
SITE=${SITE:-$WORK/site}
UNPACKED=${UNPACKED:-$WORK/pack}
BASE=${BASE:-$WORK/weights}
export WORK SITE UNPACKED PYTHONPATH=$SITE:$PWD PYTHONUNBUFFERED=1 DITTO_DATA=${DITTO_DATA:-$WORK/data} HYDRA_FULL_ERROR=1

receive() {
    mkdir -p "$WORK/pack"
    for path in "$@"; do
        if [ -d "$path" ]; then cp "$path"/* "$WORK/pack/"; else cp "$path" "$WORK/pack/"; fi
    done
    ls -l "$WORK/pack"
}

install() {
    if [ -f "$PACK/pack.tar.xz" ]; then
        mkdir -p "$WORK/pack" && cp "$PACK/pack.tar.xz" "$WORK/pack/"
    else
        # Needs torch only, so this works before anything is installed.
        "$PYTHON" -m ditto.training.parts join "$WORK/pack/pack.tar.xz"
    fi
    "$PYTHON" -m tarfile --filter data -e "$WORK/pack/pack.tar.xz" "$WORK/pack" # knows xz by itself
    "$PYTHON" -m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile --upgrade \
        --target "$SITE" "$WORK"/pack/wheels/*.whl
    "$PYTHON" -m ditto.training.small_text restore "$WORK/pack/encoder.tar.xz" "$SITE"
}

music() {
    local options=(--soundfont "$UNPACKED/soundfont.sf3")
    if [ "${TAKES:-1}" -gt 1 ]; then options+=(--soundfont "$UNPACKED/second.sf2" --takes "$TAKES" --electronic); fi
    OMP_NUM_THREADS=1 "$PYTHON" -m ditto.data.build render --synth tinysoundfont --workers "$WORKERS" "${options[@]}" \
        ${MUSIC_HOURS:+--hours "$MUSIC_HOURS"} ${MUSIC_COUNT:+--count "$MUSIC_COUNT"}
}

mels() { "$PYTHON" -m ditto.training.mels --workers "$WORKERS"; }

features() { "$PYTHON" -m ditto.training.features --workers "$WORKERS"; }

check() { # every stage on a few pieces, at the full batch size, before anything long
    "$PYTHON" -m ditto.training.check --device "${DEVICE:-cuda}" --disk-gib "${DISK_GIB:-30}"
    local there=$WORK/check few="max_steps=${CHECK_STEPS:-25} stage.validate_every=${CHECK_STEPS:-25} stage.warmup_steps=2"
    WORK=$there DITTO_DATA=$there/data MUSIC_COUNT=${CHECK_COUNT:-8} MUSIC_HOURS='' TAKES=1 PAUSE_HOURS='' \
        BASE='' START_FROM='' QUALITY_N=2 QUALITY_OPTIONS="batch_size=2 ${QUALITY_OPTIONS:-}" \
        DENOISER_OPTIONS="${DENOISER_OPTIONS:-} $few" VOCODER_OPTIONS="${VOCODER_OPTIONS:-} $few" \
        CONTROLNET_OPTIONS="${CONTROLNET_OPTIONS:-} $few" READOUT_OPTIONS="${READOUT_OPTIONS:-} $few" \
        "$SELF" run music mels features vocoder_adversarial denoiser state export quality controlnet readout
    rm -rf "$there"
    echo "check: every stage works"
}

prepare() { # the cores render while the GPU is tried out
    nice -n 10 "$SELF" run music mels &
    local rendering=$!
    "$SELF" run check || { echo "error: the check failed, nothing long is begun" >&2 && pkill -P "$rendering"; exit 1; }
    wait "$rendering"
}

resume() { # RUN: take up the state that was carried here, if there is one
    compgen -G "$WORK/pack/$1.state*" >/dev/null && [ ! -f "$WORK/$1/last.ckpt" ] || return 0
    "$PYTHON" -m ditto.training.parts join "$WORK/pack/$1.state"
    "$PYTHON" -m ditto.training.state unpack "$WORK/pack/$1.state" "$WORK/$1"
}

train() { # STAGE HOURS OVERRIDES...
    local stage=$1 hours=$2
    shift 2
    resume "$stage"
    "$PYTHON" -m ditto.training.train stage="$stage" hours="$hours" folder="$WORK/$stage" checkpoint_minutes=1 \
        pause_hours="${PAUSE_HOURS:-null}" trainer.accelerator="${DEVICE:-auto}" +trainer.enable_progress_bar=false "$@"
}

vocoder() {
    # shellcheck disable=SC2086
    train vocoder "${VOCODER_HOURS:-0.06}" batch_size="${VOCODER_BATCH:-32}" +stage.data.workers="$WORKERS" ${VOCODER_OPTIONS:-}
}

vocoder_adversarial() { # goes on from the stage `vocoder`, or from the vocoder that ships
    local from=ditto/weights/embedded
    if [ -f "$WORK/vocoder/last.ckpt" ]; then
        from=$WORK/vocoder_weights
        "$PYTHON" -m ditto.training.export none --vocoder "$WORK/vocoder" -o "$from"
    fi
    # shellcheck disable=SC2086
    train vocoder_adversarial "${VOCODER_HOURS:-0.06}" start_from="$from" batch_size="${VOCODER_BATCH:-32}" \
        +stage.data.workers="$WORKERS" ${VOCODER_OPTIONS:-}
}

denoiser() {
    # shellcheck disable=SC2086
    train denoiser "${DENOISER_HOURS:-0.2}" batch_size="${BATCH:-256}" network="${NETWORK:-unet}" \
        start_from="${START_FROM:-null}" +stage.data.on_device=true ${DENOISER_OPTIONS:-}
}

state() { # what `bring` copies
    "$PYTHON" -m ditto.training.state pack "$WORK/${1:-denoiser}" "$WORK/${1:-denoiser}.state"
    "$PYTHON" -m ditto.training.parts split "$WORK/${1:-denoiser}.state" --mib "$PART_MIB" --parts "$WORK/state"
}

export_weights() { # with the best vocoder there is
    local with=ditto/weights/embedded
    for run in vocoder vocoder_adversarial; do
        if [ -f "$WORK/$run/last.ckpt" ]; then with=$WORK/$run; fi
    done
    "$PYTHON" -m ditto.training.export "$WORK/denoiser" --vocoder "$with" -o "$WORK/weights"
}

quality() { # the same synthesiser made the training music and the clips it is judged by: compare within a loan only
    # shellcheck disable=SC2086
    "$PYTHON" -m ditto.training.quality model.weights="$BASE" n="${QUALITY_N:-100}" n_reference="${QUALITY_N:-100}" steps=[20] \
        n_griffin_lim=0 n_band=0 n_train=0 device="${DEVICE:-auto}" \
        results="$WORK/quality" waves="$WORK/waves" cache="$WORK/cache" ${QUALITY_OPTIONS:-}
}

controlnet() {
    # shellcheck disable=SC2086
    train controlnet "${CONTROLNET_HOURS:-0.05}" batch_size="${CONTROLNET_BATCH:-64}" stage.module.base="$BASE" \
        +stage.data.on_device=true ${CONTROLNET_OPTIONS:-}
    "$PYTHON" -m baselines.controlnet_weights "$WORK/controlnet" -o "$WORK/controlnet_weights"
}

readout() {
    # shellcheck disable=SC2086
    train readout 1 max_steps="${READOUT_STEPS:-5000}" stage.module.base.weights="$BASE" +stage.data.on_device=true ${READOUT_OPTIONS:-}
    "$PYTHON" -m baselines.readout_weights "$WORK/readout" -o "$WORK/readout_weights"
}

pause() { touch "$WORK/${1:-denoiser}/pause"; }

bring() { # N [RUN]
    local parts=("$WORK/state/${2:-denoiser}.state".part-*) first=$((($1 - 1) * BRING))
    cp "${parts[@]:first:BRING}" "$WORK/state/${2:-denoiser}.state.sha256" "$RESULTS/"
    echo "${#parts[@]} parts in all, these are $((first + 1)) and on"
}

collect() { # weights, curves, figures and the last pictures as parts; the log beside them
    local files=() path run
    for path in weights controlnet_weights readout_weights quality {denoiser,vocoder,vocoder_adversarial,controlnet,readout}/{config.yaml,logs}; do
        [ ! -e "$WORK/$path" ] || files+=("$path")
    done
    for run in denoiser vocoder vocoder_adversarial controlnet; do
        path=$(find "$WORK/$run/samples" -type f 2>/dev/null | sort | tail -n 1 || true)
        [ -z "$path" ] || files+=("${path#"$WORK"/}")
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
            install | check | music | mels | features | prepare | vocoder | vocoder_adversarial | denoiser | state | \
                quality | controlnet | readout | collect) "$stage" ;;
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
    [ $# -gt 0 ] || set -- "${FIRST_LOAN[@]}"
    # A session of its own: it outlives the call that started it.
    setsid bash -c '"$0" run "$@"; echo $? >"$WORK/done"' "$SELF" "$@" >>"$WORK/log.txt" 2>&1 </dev/null &
    follow "${WAIT:-540}"
}

case ${1:-} in
    receive | start | run | pause | bring) "$@" ;;
    wait) follow "${2:-540}" ;;
    *) sed -n '2,15s/^# \?//p' "$0" && exit 2 ;;
esac
