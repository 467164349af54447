# SPDX-License-Identifier: GPL-3.0-or-later
# Makes a machine of the unpacked packages. Run by mmdebstrap with the root folder as $1.
set -eu
root=$1

echo lab > "$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 lab\n::1 localhost ip6-localhost\n' > "$root/etc/hosts"
printf '/dev/vda / ext4 noatime,errors=remount-ro 0 1\n' > "$root/etc/fstab"
echo 'LANG=C.UTF-8' > "$root/etc/default/locale"

# A fixed identity: without one systemd takes the next boot for the first and enables every
# service by preset, the web server included.
rm -f "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
chroot "$root" systemd-machine-id-setup >/dev/null

# qemu's user-mode network has fixed addresses; with a static one no lease can expire
# when the clock jumps at resume.
cat > "$root/etc/systemd/network/10-lab.network" <<'EOF'
[Match]
Name=eth0

[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
DNS=10.0.2.3
LinkLocalAddressing=no
IPv6AcceptRA=no
EOF
rm -f "$root/etc/resolv.conf"
echo 'nameserver 10.0.2.3' > "$root/etc/resolv.conf"
chroot "$root" systemctl --quiet enable systemd-networkd.service

# The console belongs to the messages.
chroot "$root" systemctl --quiet mask getty@tty1.service serial-getty@CONSOLE.service

rm -f "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root/etc/apt/apt.conf.d/99mmdebstrap"
