#!/usr/bin/env bash
# A real Grid Engine on this machine alone, for tests: one node, no systemd.
#
#   scripts/queues/gridengine.sh up DIR      install where missing (Debian packages, as root), configure, start
#   scripts/queues/gridengine.sh down DIR    stop its daemons
#
# `up` writes DIR/env.sh to be sourced. Debian's Grid Engine keeps its cell in /var/lib/gridengine/default; a cell that is
# configured for other hosts than this one is left alone. Its master listens on all interfaces of the machine.
set -euo pipefail

action=${1:-} dir=${2:-}
say() { printf '[grid engine rig] %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
[ -n "$dir" ] || die "usage: gridengine.sh up|down DIR"
export SGE_ROOT=/var/lib/gridengine SGE_CELL=default
cell=$SGE_ROOT/$SGE_CELL
spool=/var/spool/gridengine

install() {
  [ -x /usr/lib/gridengine/sge_qmaster ] && [ -x /usr/lib/gridengine/sge_execd ] && command -v qconf >/dev/null && return 0
  command -v apt-get >/dev/null || die "Grid Engine is not installed, and this is no Debian system to install it on"
  say "installing Debian packages: gridengine-master gridengine-exec gridengine-client"
  apt-get update -qq >/dev/null 2>&1 || die "apt-get update failed: no package archive can be reached"
  debconf-set-selections <<'ANSWERS'
gridengine-common shared/gridenginemaster string localhost
gridengine-common shared/gridenginecell string default
gridengine-common shared/gridengineconfig boolean true
gridengine-client shared/gridenginemaster string localhost
gridengine-client shared/gridenginecell string default
gridengine-client shared/gridengineconfig boolean true
gridengine-master shared/gridenginemaster string localhost
gridengine-master shared/gridenginecell string default
gridengine-master shared/gridengineconfig boolean true
ANSWERS
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; made=1; fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    gridengine-master gridengine-exec gridengine-client >"$dir/apt.log" 2>&1 ||
    { [ -z "$made" ] || rm -f $policy; die "the packages cannot be installed: $(tail -n 1 "$dir/apt.log")"; }
  [ -z "$made" ] || rm -f $policy
}

answers() { qconf -sh >/dev/null 2>&1; }

down() {
  local daemon pid
  if answers; then qdel -u '*' >/dev/null 2>&1 || true; fi
  for daemon in "$spool/execd/$(hostname -s)/execd.pid" "$spool/execd/localhost/execd.pid" "$spool/qmaster/qmaster.pid"; do
    [ -f "$daemon" ] || continue
    pid=$(cat "$daemon")
    case $(cat "/proc/$pid/comm" 2>/dev/null) in sge_execd | sge_qmaster) kill "$pid" 2>/dev/null || true ;; *) continue ;; esac
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  done
}

start_master() {
  if answers; then return 0; fi
  setpriv --reuid=sgeadmin --regid=sgeadmin --clear-groups /usr/lib/gridengine/sge_qmaster >"$dir/qmaster.log" 2>&1 || true
  for _ in $(seq 100); do answers && return 0; sleep 0.2; done
  die "the master does not answer: $(qconf -sh 2>&1 | tail -n 1)"
}

configure() {
  local slots=$1
  qconf -am root >/dev/null 2>&1 || true
  qconf -ah localhost >/dev/null 2>&1 || true
  qconf -as localhost >/dev/null 2>&1 || true
  printf 'hostname localhost\nload_scaling NONE\ncomplex_values NONE\nuser_lists NONE\nxuser_lists NONE\nprojects NONE\nxprojects NONE\nusage_scaling NONE\nreport_variables NONE\n' >"$dir/host"
  qconf -Ae "$dir/host" >/dev/null 2>&1 || true
  printf 'group_name @allhosts\nhostlist localhost\n' >"$dir/group"
  qconf -Ahgrp "$dir/group" >/dev/null 2>&1 || qconf -Mhgrp "$dir/group" >/dev/null
  cat >"$dir/pe" <<PE
pe_name mpi
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule \$fill_up
control_slaves TRUE
job_is_first_task FALSE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
PE
  qconf -Ap "$dir/pe" >/dev/null 2>&1 || true
  qconf -sq >"$dir/queue" 2>/dev/null || true
  sed -i -E -e 's/^qname .*/qname all.q/' -e 's/^hostlist .*/hostlist @allhosts/' -e 's/^pe_list .*/pe_list mpi/' \
    -e "s/^slots .*/slots $slots/" -e 's/^shell_start_mode .*/shell_start_mode unix_behavior/' -e 's/^load_thresholds .*/load_thresholds NONE/' \
    -e 's/^notify .*/notify 00:00:10/' "$dir/queue"
  qconf -Aq "$dir/queue" >/dev/null 2>&1 || qconf -Mq "$dir/queue" >/dev/null
  qconf -ssconf | sed -E -e 's/^schedule_interval .*/schedule_interval 0:0:2/' -e 's/^(flush_(submit|finish)_sec) .*/\1 1/' >"$dir/scheduler"
  qconf -Msconf "$dir/scheduler" >/dev/null
  qconf -sconf global | grep -v '^#' | sed -E -e 's/^min_(uid|gid) .*/min_\1 0/' >"$dir/global"
  qconf -Mconf "$dir/global" >/dev/null
}

up() {
  [ "$(id -u)" = 0 ] || die "a Grid Engine of one's own needs root"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  install
  case $(cat "$cell/common/act_qmaster" 2>/dev/null) in
    "" | localhost | "$(hostname)" | "$(hostname -s)" | "$(hostname -f 2>/dev/null)") ;;
    *) die "Grid Engine is configured on this machine for another master; it is left alone" ;;
  esac
  echo localhost >"$cell/common/act_qmaster"
  # without it every client is refused: its address resolves to "localhost", its name is another
  echo "localhost $(hostname -s)" >"$cell/common/host_aliases"
  chown -R sgeadmin "$cell/common"
  printf 'export SGE_ROOT=%q SGE_CELL=%q\n' "$SGE_ROOT" "$SGE_CELL" >"$dir/env.sh"
  start_master
  configure "$(getconf _NPROCESSORS_ONLN)"
  [ -n "$(ls "/proc/$(cat $spool/execd/*/execd.pid 2>/dev/null | tail -n 1)/comm" 2>/dev/null)" ] ||
    /usr/lib/gridengine/sge_execd >"$dir/execd.log" 2>&1 || die "the execution daemon does not start: $(tail -n 1 "$dir/execd.log")"
  for _ in $(seq 150); do
    if qstat -f 2>/dev/null | awk '/^all.q@localhost/ {exit !($4 != "-NA-" && NF == 5)} END {if (!NR) exit 1}'; then
      say "up: $(getconf _NPROCESSORS_ONLN) slots; source $dir/env.sh"
      return 0
    fi
    sleep 0.2
  done
  die "the queue does not become ready: $(qstat -f 2>&1 | tail -n 2 | tr '\n' ' ')"
}

case $action in
  up) up ;;
  down) down ;;
  *) die "usage: gridengine.sh up|down DIR" ;;
esac
