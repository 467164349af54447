# SPDX-License-Identifier: GPL-3.0-or-later
# Run in the booted machine before its snapshot is taken: waits until it has settled, checks
# that it is what the tests rely on, and warms the caches that every module run needs.
set -eu
fail() { echo "lab: $*" >&2; exit 1; }

state=$(systemctl is-system-running --wait) || true
[ "$state" = running ] || fail "the machine settled as '$state': $(systemctl --failed --plain --no-legend)"

[ "$(cat /sys/module/apparmor/parameters/enabled)" = Y ] || fail "AppArmor is off in the guest's kernel"
[ -f /sys/fs/cgroup/cgroup.controllers ] || fail "the guest has no unified cgroup hierarchy"
docker info --format '{{.CgroupDriver}}' | grep -qx systemd || fail "the engine does not use the systemd cgroup driver"

# Virgin: whatever a scenario finds here, it has put there itself.
[ -z "$(docker ps -aq)$(docker images -aq)$(docker volume ls -q)" ] || fail "the engine is not empty"
[ ! -e /etc/docker/daemon.json ] || fail "/etc/docker/daemon.json exists"
! getent passwd dockremap >/dev/null || fail "the user dockremap exists"
# containerd's stream server has a loopback port of its own, a cloud image perhaps a name server.
others=$(ss -Htlnp | grep -v -e '"sshd"' -e '"containerd"' -e '"systemd-resolve"' -e '"systemd",pid=1,') || true
[ -z "$others" ] || fail "something besides sshd listens: $others"
for program in slirp4netns rootlesskit newuidmap aa-status; do
    command -v "$program" >/dev/null || fail "$program is missing"
done

# Otherwise every ssh connection starts root's own systemd and its end stops it: that is most
# of what a visit costs on an emulated processor.
loginctl enable-linger root

# Without the .pth file, each module run compiles all that Ansible sends, as it does on other hosts.
cat > /usr/lib/python3/dist-packages/bytecode_cache.py <<'EOF'
BYTECODE_CACHE
EOF
echo 'import bytecode_cache' > /usr/lib/python3/dist-packages/bytecode_cache.pth

python3 -c 'import ast, base64, importlib.util, json, pathlib, re, shlex, shutil, subprocess, tempfile, zipfile'
docker version >/dev/null
sync
