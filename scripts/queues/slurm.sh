#!/usr/bin/env bash
# A real Slurm on this machine alone, for tests: one node, no systemd, no cgroups, everything in one folder.
#
#   scripts/queues/slurm.sh up DIR      install where missing (Debian packages, as root), start, wait until the node is idle
#   scripts/queues/slurm.sh down DIR    stop what was started there
#
# `up` writes DIR/env.sh; `source` it, and sbatch, squeue and scancel talk to this Slurm. Its own munge daemon has its socket
# and key in DIR, so that a munge or Slurm of the machine is neither used nor disturbed.
set -euo pipefail

action=${1:-} dir=${2:-}
say() { printf '[slurm rig] %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
[ -n "$dir" ] || die "usage: slurm.sh up|down DIR"
PATH=$PATH:/usr/sbin:/sbin

stop() {  # PIDFILE: end a process that this script started
  [ -f "$1" ] || return 0
  local pid
  pid=$(cat "$1")
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
}

down() {
  [ -d "$dir" ] || return 0
  if [ -f "$dir/env.sh" ]; then
    (source "$dir/env.sh"; timeout 20 scancel --user="$(id -un)" >/dev/null 2>&1) || true
  fi
  for daemon in slurmd slurmctld munged; do stop "$dir/$daemon.pid"; done
}

install() {
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return 0
  command -v apt-get >/dev/null || die "Slurm is not installed, and this is no Debian system to install it on"
  say "installing Debian packages: slurm-wlm munge"
  apt-get update -qq >/dev/null 2>&1 || die "apt-get update failed: no package archive can be reached"
  # the maintainer scripts must start no daemons; an existing policy stays
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; made=1; fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >"$dir/log/apt" 2>&1 ||
    { [ -z "$made" ] || rm -f $policy; die "the packages slurm-wlm and munge cannot be installed: $(tail -n 1 "$dir/log/apt")"; }
  [ -z "$made" ] || rm -f $policy
}

free_ports() {
  python3 -c 'import socket
held = [socket.socket() for _ in range(2)]
[s.bind(("127.0.0.1", 0)) for s in held]
print(*(s.getsockname()[1] for s in held))'
}

up() {
  [ "$(id -u)" = 0 ] || die "a Slurm of one's own needs root"
  mkdir -p "$dir"/{log,state,spool}
  dir=$(cd "$dir" && pwd)
  install
  local host memory cpus controller node
  host=$(hostname -s) cpus=$(getconf _NPROCESSORS_ONLN)
  memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts
  read -r controller node < <(free_ports)

  if [ ! -f "$dir/munge.key" ]; then (umask 077; head -c 1024 /dev/urandom >"$dir/munge.key"); fi
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
    --log-file="$dir/log/munged" --seed-file="$dir/munge.seed" 2>>"$dir/log/munged.start" || die "munged does not start: $(tail -n 1 "$dir/log/munged.start")"

  cat >"$dir/slurm.conf" <<CONF
ClusterName=rig
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$controller
SlurmdPort=$node
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=defer,batch_sched_delay=1,sched_interval=2
MinJobAge=30
KillWait=5
OverTimeLimit=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  printf 'export SLURM_CONF=%q\n' "$dir/slurm.conf" >"$dir/env.sh"
  export SLURM_CONF="$dir/slurm.conf"
  slurmctld && slurmd || die "the daemons do not start: $(tail -n 2 "$dir"/log/slurm* | tr '\n' ' ')"
  for _ in $(seq 150); do
    if [ "$(sinfo -h -o %T 2>/dev/null)" = idle ]; then say "up: node $host, $cpus cores; source $dir/env.sh"; return 0; fi
    sleep 0.2
  done
  down
  die "the node does not become idle: $(tail -n 1 "$dir/log/slurmd")"
}

case $action in
  up) up ;;
  down) down ;;
  *) die "usage: slurm.sh up|down DIR" ;;
esac
