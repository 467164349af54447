# SPDX-License-Identifier: GPL-3.0-or-later
# Run by mmdebstrap between the essential packages and the rest, with the root folder as $1.
set -eu
# The kernel's initial RAM disk needs a disk, a file system and a network card that is there when
# the network is configured, not every driver there is: an emulated processor takes seconds to
# unpack those, and udev as long to find the card.
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nCOMPRESS=gzip\n' > "$1/etc/initramfs-tools/conf.d/lab"
printf 'virtio_pci\nvirtio_blk\nvirtio_net\next4\n' > "$1/usr/share/initramfs-tools/modules.d/lab"
