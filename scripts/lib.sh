# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Shared by the scripts in this folder: source it first.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Molecule, ansible-lint and ansible-test look for their helpers on PATH.
export PATH="$PWD/.venv/bin:$PATH"
export ANSIBLE_CONFIG="$PWD/ansible.cfg"
# shellcheck disable=SC2034 # for the scripts that source this
COLLECTION=collections/ansible_collections/bulkhead/docker

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() {
  printf 'bulkhead: %s\n' "$*" >&2
  exit 1
}
