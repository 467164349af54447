# SPDX-License-Identifier: GPL-3.0-or-later
# Run once by cloud-init in a cloud image, with the wanted packages as arguments: makes it the
# same kind of machine as the images that are built from Debian packages.
set -eu
command -v apt-get >/dev/null || { echo "lab: only cloud images with apt are supported" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive

systemctl stop '*.timer' # one of them may be about to take apt's lock
missing=
for package in "$@"; do
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
        missing="$missing $package"
done
if [ -n "$missing" ]; then
    apt-get update
    wanted=
    for package in $missing; do
        # Not every suite splits its packages alike.
        if apt-cache show "$package" >/dev/null 2>&1; then wanted="$wanted $package"; fi
    done
    # shellcheck disable=SC2086 # a list of words
    apt-get -o DPkg::Lock::Timeout=900 install -y --no-install-recommends $wanted
fi

# Not every suite has them.
for unit in nginx.service redis-server.service; do
    [ ! -e "/usr/lib/systemd/system/$unit" ] || systemctl stop "$unit"
done
sh "$(dirname "$0")/quiet.sh" /
systemctl reload ssh.service || true
touch "$(dirname "$0")/done"
