#!/usr/bin/env bash
# A real Slurm on this one machine, for tests: cluster.sh start DIR [SLOTS] | stop DIR.
#
# From Debian's packages (installed here when they are missing and we are root), without systemd, cgroups or accounting, so
# that it runs in a container too. Configuration, keys, state and logs are in DIR, ports are free ones: a Slurm that this
# machine belongs to is not touched. SLOTS (2) is how many one-CPU jobs run at once, whatever the machine has.
# Use it with SLURM_CONF=DIR/slurm.conf sbatch ... ; everything, jobs included, ends with stop.
set -euo pipefail

PROGRAMS="munged slurmctld slurmd sbatch scontrol"
PATH="$PATH:/usr/sbin:/sbin"

fail() {
    echo "cluster.sh: $*" >&2
    exit 1
}

missing() {
    for program in $PROGRAMS; do
        command -v "$program" >/dev/null || echo "$program"
    done
}

install_packages() {
    [ -z "$(missing)" ] && return
    [ "$(id -u)" = 0 ] || fail "not installed: $(missing | tr '\n' ' ')(Debian: apt-get install slurm-wlm munge)"
    command -v apt-get >/dev/null || fail "not installed: $(missing | tr '\n' ' ')and there is no apt-get"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge; } \
        >/dev/null 2>&1 || fail "apt-get could not install slurm-wlm and munge"
    [ -z "$(missing)" ] || fail "still missing after the installation: $(missing | tr '\n' ' ')"
}

free_ports() {
    python3 - <<'PYTHON'
import socket
held = [socket.socket() for _ in range(2)]
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))
PYTHON
}

write_config() { # DIR SLOTS
    local dir=$1 slots=$2 host ports memory
    host=$(hostname -s)
    read -r -a ports <<<"$(free_ports)"
    memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    cat >"$dir/slurm.conf" <<CONFIG
ClusterName=ditto_test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# The second number is also how long a requeued job waits before it starts again (120 s where nobody sets it).
AuthInfo=socket=$dir/munge.sock,cred_expire=10
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
MaxArraySize=1001
MinJobAge=60
KillWait=5
InactiveLimit=0
Waittime=0
SlurmdTimeout=300
NodeName=$host NodeAddr=127.0.0.1 CPUs=$slots RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONFIG
    echo "CgroupAutomount=no" >"$dir/cgroup.conf"
}

start() { # DIR SLOTS
    local dir=$1 slots=$2
    install_packages
    mkdir -p "$dir/state" "$dir/spool"
    chmod 755 "$dir"
    write_config "$dir" "$slots"
    [ -s "$dir/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
    # --force: the folder may belong to others (a temporary one does), which munged would refuse.
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.sock" --pid-file="$dir/munged.pid" \
        --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" >"$dir/out" 2>&1 </dev/null || fail "munged: $(cat "$dir/out")"
    # Away from our own output, which whoever reads it would otherwise wait for as long as they live.
    slurmctld -c -f "$dir/slurm.conf" >"$dir/out" 2>&1 </dev/null || fail "slurmctld: $(cat "$dir/out") ($dir/slurmctld.log)"
    slurmd -c -f "$dir/slurm.conf" -N "$(hostname -s)" >"$dir/out" 2>&1 </dev/null || fail "slurmd: $(cat "$dir/out") ($dir/slurmd.log)"
    for _ in $(seq 150); do
        [ "$(SLURM_CONF="$dir/slurm.conf" sinfo --noheader --format=%t 2>/dev/null)" = idle ] && return
        sleep 0.2
    done
    fail "the node is not idle after 30 s: see $dir/slurmctld.log and $dir/slurmd.log"
}

end_process() { # PID: ask, then insist
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null || return 0
    for _ in $(seq 50); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 "$1" 2>/dev/null || true
}

stop() { # DIR; daemons of an unfinished start too
    local dir=$1
    export SLURM_CONF="$dir/slurm.conf"
    [ -e "$SLURM_CONF" ] || return 0
    if [ -n "$(timeout 10 squeue --noheader 2>/dev/null)" ]; then
        timeout 10 scancel --partition=debug 2>/dev/null || true
        for _ in $(seq 40); do # a job has KillWait seconds to end
            [ -z "$(timeout 10 squeue --noheader 2>/dev/null)" ] && break
            sleep 0.25
        done
    fi
    for daemon in slurmd slurmctld munged; do
        end_process "$(cat "$dir/$daemon.pid" 2>/dev/null || true)"
    done
    rm -f "$SLURM_CONF"
}

[ $# -ge 2 ] || fail "usage: cluster.sh start DIR [SLOTS] | stop DIR"
mkdir -p "$2"
folder=$(cd "$2" && pwd)
case $1 in
start)
    trap '[ $? = 0 ] || stop "$folder"' EXIT
    stop "$folder" # what an earlier run of the tests left
    start "$folder" "${3:-2}"
    ;;
stop) stop "$folder" ;;
*) fail "start or stop, not $1" ;;
esac
