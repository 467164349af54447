# SPDX-License-Identifier: GPL-3.0-or-later
# Run once by cloud-init in a cloud image, with the wanted packages as arguments: makes it the
# same kind of machine as the images that are built from Debian packages.
set -eu
command -v apt-get >/dev/null || { echo "lab: only cloud images with apt are supported" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive

apt-get update
wanted=
for package in "$@"; do
    # Not every suite splits its packages alike.
    if apt-cache show "$package" >/dev/null 2>&1; then wanted="$wanted $package"; fi
done
# shellcheck disable=SC2086 # a list of words
apt-get install -y --no-install-recommends $wanted

# The programs of the test images are installed, but nothing of them may listen.
systemctl disable --now nginx.service redis-server.service
if systemctl is-active --quiet systemd-resolved.service; then
    mkdir -p /etc/systemd/resolved.conf.d
    printf '[Resolve]\nDNSStubListener=no\n' > /etc/systemd/resolved.conf.d/10-lab.conf
    systemctl restart systemd-resolved.service
    ln -sf /run/systemd/resolve/resolv.conf /etc/resolv.conf
fi

# Nothing may wake up in the middle of a test because the clock jumped.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer logrotate.timer man-db.timer unattended-upgrades.service; do
    systemctl mask --now "$unit" || true
done
mkdir -p /etc/ssh/sshd_config.d
printf 'PermitRootLogin prohibit-password\nUseDNS no\nMaxStartups 100\n' > /etc/ssh/sshd_config.d/10-lab.conf
systemctl reload ssh.service || true
