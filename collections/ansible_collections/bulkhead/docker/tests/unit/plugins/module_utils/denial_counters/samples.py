# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel's types and functions, written by hand (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct

from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters import layout

from ..recorder.samples import Writer

FUNCTIONS = (layout.FILTER, layout.CAPABLE, layout.MOUNT_FUNCTIONS[0], *layout.SIMPLE_CAUSES)


def write_kernel(machine: str = "x86_64", functions: tuple[str, ...] = FUNCTIONS) -> bytes:
    """Return the types that the counters read, and functions."""
    writer = Writer()
    number = writer.add(1, "int", 4, tail=struct.pack("<I", 32))
    info = writer.add_struct("thread_info", ("flags", number, 0), ("status", number, 128))
    css = writer.add_struct("cgroup_subsys_state", ("cgroup", number, 0), ("parent", number, 1472))
    members = {
        "task_struct": [("thread_info", info, 0), ("cred", number, 13888)],
        "pt_regs": [("ax", number, 640), ("orig_ax", number, 960)]
        if machine == "x86_64"
        else [("regs", number, 0), ("pstate", number, 2112), ("syscallno", number, 2240)],
        "cred": [("euid", number, 192), ("cap_effective", number, 512), ("cap_bset", number, 576), ("user_ns", number, 1152)],
        "user_namespace": [("uid_map", number, 0), ("level", number, 1600)],
        "vfsmount": [("mnt_sb", number, 64)],
        "super_block": [("s_magic", number, 768)],
        "cgroup": [("self", css, 0), ("kn", number, 2048)],
        "kernfs_node": [("name", number, 128), ("id", number, 768)],
    }
    for name, fields in members.items():
        writer.add_struct(name, *fields)
    for name in layout.TRACEPOINTS:
        writer.add(8, f"btf_trace_{name}", number)
    for name in functions:
        writer.add(12, name, number)
    return writer.write()
