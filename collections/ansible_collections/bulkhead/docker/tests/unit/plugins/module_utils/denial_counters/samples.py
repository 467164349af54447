# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel's types and functions, written by hand (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct

from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters import layout

from ..recorder.samples import Writer

FUNCTIONS = (
    layout.FILTER,
    layout.CAPABLE,
    layout.PROGRAM_RIGHTS,
    layout.FILE_CAPABILITIES,
    layout.MOUNT_FUNCTIONS[0],
    *layout.SIMPLE_CAUSES,
)


def write_kernel(machine: str = "x86_64", functions: tuple[str, ...] = FUNCTIONS, without: str = "") -> bytes:
    """Return the types that the counters read, and functions. without: name of a member that is left out."""
    writer = Writer()
    number = writer.add(1, "int", 4, tail=struct.pack("<I", 32))
    info = writer.add_struct("thread_info", ("flags", number, 0), ("status", number, 128))
    css = writer.add_struct("cgroup_subsys_state", ("cgroup", number, 0), ("parent", number, 1472))
    ranges = writer.add_struct("uid_gid_map", ("extent", number, 0), ("nr_extents", number, 480))
    path = writer.add_struct("path", ("mnt", number, 0), ("dentry", number, 64))
    members = {
        "task_struct": [("thread_info", info, 0), ("cred", number, 13888), ("atomic_flags", number, 8000)],
        "pt_regs": [("ax", number, 640), ("si", number, 832), ("orig_ax", number, 960)]
        if machine == "x86_64"
        else [("regs", number, 0), ("pstate", number, 2112), ("syscallno", number, 2240)],
        "cred": [
            ("euid", number, 192),
            ("egid", number, 224),
            ("cap_inheritable", number, 384),
            ("cap_permitted", number, 448),
            ("cap_effective", number, 512),
            ("cap_bset", number, 576),
            ("user_ns", number, 1152),
        ],
        "user_namespace": [("uid_map", ranges, 0), ("gid_map", ranges, 512), ("level", number, 1600)],
        "vfsmount": [("mnt_sb", number, 64), ("mnt_flags", number, 128), ("mnt_idmap", number, 192), ("mnt_userns", number, 256)],
        "mnt_idmap": [("uid_map", ranges, 0), ("owner", number, 512)],
        "linux_binprm": [("unsafe", number, 640)],
        "file": [("f_inode", number, 320), ("f_path", path, 512)],
        "inode": [("i_mode", number, 0), ("i_uid", number, 32), ("i_gid", number, 64)],
        "cpu_vfs_cap_data": [("permitted", number, 64), ("inheritable", number, 128)],
        "super_block": [("s_magic", number, 768)],
        "cgroup": [("self", css, 0), ("kn", number, 2048)],
        "kernfs_node": [("name", number, 128), ("id", number, 768)],
    }
    for name, fields in members.items():
        writer.add_struct(name, *(field for field in fields if f"{name}.{field[0]}" != without))
    for name in layout.TRACEPOINTS:
        writer.add(8, f"btf_trace_{name}", number)
    for name in functions:
        writer.add(12, name, number)
    return writer.write()
