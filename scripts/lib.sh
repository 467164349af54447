# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Shared by the scripts in this folder: source it first.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Molecule, ansible-lint and ansible-test look for their helpers on PATH.
export PATH="$PWD/.venv/bin:$PATH"
export ANSIBLE_CONFIG="$PWD/ansible.cfg"
# Compiled Python files shorten the start of each Ansible command by a third. They stay out of the source folders.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$PWD/.cache/python"
# shellcheck disable=SC2034 # for the scripts that source this
COLLECTION=collections/ansible_collections/bulkhead/docker

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() {
  printf 'bulkhead: %s\n' "$*" >&2
  exit 1
}

# run_step NAME TEXT COMMAND…: prints TEXT and runs the command with its output in .cache/logs/NAME.log. The output is shown if the command fails.
run_step() {
  local name=$1 text=$2 log=.cache/logs/$1.log code=0
  shift 2
  mkdir -p .cache/logs
  say "$text (log: $log)"
  "$@" >"$log" 2>&1 </dev/null || code=$?
  [[ $code == 0 ]] || { cat "$log" >&2; die "$text: status $code"; }
}
