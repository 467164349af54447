# SPDX-License-Identifier: GPL-3.0-or-later
# Makes a machine with our packages as quiet as a test needs it. $1: its root folder.
set -eu
root=$1

mkdir -p "$root/etc/ssh/sshd_config.d"
cat > "$root/etc/ssh/sshd_config.d/10-lab.conf" <<'EOF'
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 100
EOF

# The programs of the test images are installed, but nothing of them may listen.
for unit in nginx.service redis-server.service; do
    [ ! -e "$root/usr/lib/systemd/system/$unit" ] || chroot "$root" systemctl --quiet disable "$unit"
done

# Nothing receives the kernel's audit messages, and no rules are loaded, until a test starts these.
for unit in auditd.service audit-rules.service; do
    [ ! -e "$root/usr/lib/systemd/system/$unit" ] || chroot "$root" systemctl --quiet disable "$unit"
done

# Nothing may wake up in the middle of a test because the clock jumped.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer logrotate.timer man-db.timer; do
    chroot "$root" systemctl --quiet mask "$unit"
done
