# SPDX-License-Identifier: GPL-3.0-or-later
# Run by mmdebstrap between the essential packages and the rest, with the root folder as $1.
set -eu
# The kernel's initial RAM disk needs a disk driver and a file system, not every driver there
# is: an emulated processor takes seconds to unpack those.
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nCOMPRESS=gzip\n' > "$1/etc/initramfs-tools/conf.d/lab"
printf 'virtio_pci\nvirtio_blk\next4\n' > "$1/usr/share/initramfs-tools/modules.d/lab"
