#!/usr/bin/env bash
# PBS commands on this machine, for tests: qsub, qstat and qdel of slurm-wlm-torque, on top of the Slurm of slurm.sh.
#
#   scripts/queues/pbs.sh up DIR SLURM_DIR    unpack them (Debian packages, not installed) for the Slurm in SLURM_DIR
#   scripts/queues/pbs.sh down DIR            nothing runs of them; the Slurm goes on
#
# `up` writes DIR/env.sh to be sourced. The packages are unpacked only: installed, they would be in conflict with Grid Engine's.
set -euo pipefail

action=${1:-} dir=${2:-} slurm=${3:-}
say() { printf '[pbs rig] %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
[ -n "$dir" ] || die "usage: pbs.sh up DIR SLURM_DIR | down DIR"

up() {
  [ -f "$slurm/env.sh" ] || die "no Slurm in ${slurm:-(no folder given)}: start it with slurm.sh up DIR"
  command -v apt-get >/dev/null || die "the packages can be fetched on a Debian system only"
  mkdir -p "$dir"/{packages,tree}
  dir=$(cd "$dir" && pwd) slurm=$(cd "$slurm" && pwd)
  if [ ! -x "$dir/tree/usr/bin/qsub" ]; then
    say "unpacking slurm-wlm-torque"
    apt-get update -qq >/dev/null 2>&1 || die "apt-get update failed: no package archive can be reached"
    local library
    library=$(apt-cache depends slurm-client 2>/dev/null | awk '/Depends: libslurm[0-9]+/ {print $2; exit}')
    [ -n "$library" ] || library=$(apt-cache search --names-only '^libslurm[0-9]+$' | awk 'NR == 1 {print $1}')
    (cd "$dir/packages" && apt-get download -qq slurm-wlm-torque libslurm-perl libslurmdb-perl libswitch-perl $library >log 2>&1) ||
      die "the packages cannot be fetched: $(tail -n 1 "$dir/packages/log")"
    for package in "$dir"/packages/*.deb; do dpkg -x "$package" "$dir/tree"; done
  fi
  for command in sbatch squeue scancel sinfo srun salloc scontrol; do   # the wrappers look for them beside themselves
    ln -sf "$(command -v $command)" "$dir/tree/usr/bin/$command"
  done
  local perl architecture
  perl=$(perl -e 'print join ".", (split /\./, sprintf "%vd", $^V)[0, 1]')
  architecture=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch 2>/dev/null || echo "$(uname -m)-linux-gnu")
  {
    printf 'source %q\n' "$slurm/env.sh"
    printf 'export PATH=%q:$PATH\n' "$dir/tree/usr/bin"
    printf 'export PERL5LIB=%q\n' "$dir/tree/usr/share/perl5:$dir/tree/usr/lib/$architecture/perl5/$perl"
    printf 'export LD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n' "$dir/tree/usr/lib/$architecture"
  } >"$dir/env.sh"
  local listed
  listed=$(source "$dir/env.sh"; qstat -q 2>&1) || true   # its exit status means nothing
  case $listed in Queue*) ;; *) die "qstat does not answer: $listed" ;; esac
  say "up; source $dir/env.sh"
}

case $action in
  up) up ;;
  down) ;;
  *) die "usage: pbs.sh up DIR SLURM_DIR | down DIR" ;;
esac
