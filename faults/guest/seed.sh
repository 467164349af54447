# SPDX-License-Identifier: GPL-3.0-or-later
# Runs in the machine: creates the markers. The image contains programs of the host.
set -eu
root=$(mktemp -d)
for program in sleep sh cat touch id ls; do
  path=$(readlink -f "$(command -v $program)")
  install -D "$path" "$root/bin/$program"
  for library in $(ldd "$path" | grep -o '/[^ ]*'); do install -D "$(readlink -f "$library")" "$root$library"; done
done
mkdir -p "$root/tmp" "$root/data"
tar -C "$root" -c . | docker import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sleep", "infinity"]' - marker-image >/dev/null
rm -r "$root"
docker network create --subnet 10.99.0.0/24 --label keep=this marker-net >/dev/null
docker volume create --label keep=this marker-data >/dev/null
docker volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=1m marker-options >/dev/null
docker run -d --name keeper --restart unless-stopped --network marker-net --env WORD=here -v marker-data:/data marker-image >/dev/null
docker run -d --name plain --network none marker-image >/dev/null
docker run --name ended --network none marker-image sh -c 'echo written in the container > /left; exit 3' || [ $? = 3 ]
cd "$(docker volume inspect -f '{{.Mountpoint}}' marker-data)"
python3 - <<'PYTHON'
import os, struct
open("random", "wb").write(os.urandom(300000))
with open("holes", "wb") as f:
    f.seek(40 << 20); f.write(b"end")
os.link("random", "hard"); os.symlink("random", "soft"); os.mkfifo("fifo"); os.mkdir("sub", 0o2775)
open("sub/owned", "w").write("by 1000"); os.chown("sub/owned", 1000, 1001)
open("setuid", "w").write("#!"); os.chown("setuid", 33, 33); os.chmod("setuid", 0o4755)
open("caps", "w").write("x"); os.setxattr("caps", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
open("attr", "w").write("x"); os.setxattr("attr", "user.note", b"kept")
nobody = 0xFFFFFFFF
entries = ((1, 6, nobody), (2, 7, 1000), (4, 4, nobody), (16, 7, nobody), (32, 4, nobody))
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
open("acl", "w").write("x"); os.setxattr("acl", "system.posix_acl_access", acl)
os.utime("random", ns=(10**18, 10**18 + 123456789))
PYTHON
sync
