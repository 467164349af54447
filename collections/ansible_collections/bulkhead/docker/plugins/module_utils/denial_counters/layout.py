# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs that count denials and their readers share: maps, keys, causes, and where this kernel keeps what is read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from ..recorder.bpf import ARRAY, HASH, LRU_HASH
from ..recorder.btf import TYPEDEF, Btf, BtfError
from ..recorder.layout import Map, find_functions

VERSION = 3  # of the maps, which readers of other versions must not read
DENIAL_ENTRIES = 32_768
LOST = ("denials", "containers")  # place: the index in map `lost`
NAME_SIZE = 256
COMM_SIZE = 16  # TASK_COMM_LEN, include/linux/sched.h
TRACEPOINTS = ("cgroup_mkdir", "cgroup_rmdir", "sys_exit")
# Why the kernel denied a call. place: the number in a key. The first: no program knows.
CAUSES = (
    "unknown",
    "seccomp",
    "apparmor",
    "userns",
    "capabilities",
    "non_root_user",
    "devices",
    "read_only_root",
    "masked_paths",
    "pids_limit",
    "no_new_privileges",
)
UNKNOWN, SECCOMP, APPARMOR, USERNS, CAPABILITIES, NON_ROOT_USER, DEVICES, READ_ONLY_ROOT, MASKED_PATHS, PIDS_LIMIT, NO_NEW_PRIVILEGES = (
    range(len(CAUSES))
)
NO_CAPABILITY = 0x3F
# What the kernel ignored in a program that was executed under no-new-privileges. place: the number in a key. The first: nothing.
IGNORED = ("", "setuid", "setgid", "file capabilities")
# Functions of the kernel that the programs need: the filter (kernel/seccomp.c), and capabilities (security/commoncap.c).
FILTER, CAPABLE = "__secure_computing", "cap_capable"
# Functions that give a program its rights, if the kernel has them (security/commoncap.c): of the whole file, and of its capabilities.
PROGRAM_RIGHTS, FILE_CAPABILITIES = "cap_bprm_creds_from_file", "get_vfs_caps_from_disk"
# Functions whose error is the cause of a denial. AppArmor's are its hooks (security/apparmor/lsm.c). A kernel may lack some.
SIMPLE_CAUSES = {
    "__cgroup_bpf_check_dev_permission": DEVICES,  # kernel/bpf/cgroup.c
    "pids_can_fork": PIDS_LIMIT,  # kernel/cgroup/pids.c
    **dict.fromkeys(
        (
            "apparmor_bprm_creds_for_exec",
            "apparmor_capable",
            "apparmor_file_lock",
            "apparmor_file_open",
            "apparmor_file_permission",
            "apparmor_mmap_file",
            "apparmor_move_mount",
            "apparmor_path_chmod",
            "apparmor_path_chown",
            "apparmor_path_link",
            "apparmor_path_mkdir",
            "apparmor_path_mknod",
            "apparmor_path_rename",
            "apparmor_path_rmdir",
            "apparmor_path_symlink",
            "apparmor_path_truncate",
            "apparmor_path_unlink",
            "apparmor_ptrace_access_check",
            "apparmor_ptrace_traceme",
            "apparmor_sb_mount",
            "apparmor_sb_pivotroot",
            "apparmor_sb_umount",
            "apparmor_socket_bind",
            "apparmor_socket_connect",
            "apparmor_socket_create",
            "apparmor_task_kill",
            "apparmor_unix_stream_connect",
            "apparmor_uring_override_creds",
            "apparmor_uring_sqpoll",
            "apparmor_userns_create",
        ),
        APPARMOR,
    ),
}
# Write access to a mount (fs/namespace.c). Linux 6.6 renamed it.
MOUNT_FUNCTIONS = ("mnt_get_write_access", "__mnt_want_write")


@dataclass(frozen=True)
class DenialOffsets:
    """Where this kernel keeps what the programs read, in bytes, and the BTF IDs of tracepoints and functions."""

    status: int  # task_struct.thread_info.status (x86)
    credentials: int  # task_struct.cred
    number: int  # pt_regs.orig_ax, or syscallno
    result: int  # pt_regs: result of a call
    returned: int  # the same among the arguments of the program at the exit
    state: int  # pt_regs.pstate (arm64)
    effective: int  # cred.cap_effective
    bounding: int  # cred.cap_bset
    user: int  # cred.euid
    namespace: int  # cred.user_ns
    level: int  # user_namespace.level
    users: int  # user_namespace.uid_map, its ranges
    groups: int  # user_namespace.gid_map, its ranges
    group_id: int  # cred.egid
    permitted: int  # cred.cap_permitted
    inheritable: int  # cred.cap_inheritable
    flags: int  # task_struct.atomic_flags
    unsafe: int  # linux_binprm.unsafe
    inode: int  # file.f_inode
    mount: int  # file.f_path.mnt
    entry: int  # file.f_path.dentry
    mode: int  # inode.i_mode
    owner: int  # inode.i_uid
    owning_group: int  # inode.i_gid
    mount_flags: int  # vfsmount.mnt_flags
    id_map: tuple[int, ...]  # way from a vfsmount to a number that is 0 if its users are not mapped
    file_permitted: int  # cpu_vfs_cap_data.permitted
    file_inheritable: int  # cpu_vfs_cap_data.inheritable
    superblock: int  # vfsmount.mnt_sb
    magic: int  # super_block.s_magic
    node: int  # cgroup.kn
    parent: int  # cgroup.self.parent
    group: int  # cgroup_subsys_state.cgroup
    identifier: int  # kernfs_node.id
    name: int  # kernfs_node.name
    tracepoints: tuple[tuple[str, int], ...]
    functions: tuple[tuple[str, int], ...]


def list_maps(denials: int = DENIAL_ENTRIES) -> dict[str, Map]:
    """Return the maps by name. denials: number of entries of map `denials`."""
    return {
        "containers": Map(HASH, 8, 8, 8192),  # cgroup -> cgroup of the container that it is in
        "denials": Map(HASH, 16, 24, denials),
        "marks": Map(LRU_HASH, 8, 8, 4096),  # thread -> call and cause
        "files": Map(LRU_HASH, 8, 8, 1024),  # thread -> directory entry of a file whose capabilities it would gain
        "recent": Map(LRU_HASH, 8 + COMM_SIZE, 8, 4096),  # container and name of a process -> call and cause of its last denial
        "names": Map(LRU_HASH, 8, NAME_SIZE, 4096),
        "lost": Map(ARRAY, 4, 8, len(LOST)),
    }


def find_offsets(btf: Btf, machine: str) -> DenialOffsets:
    """Return the offsets of this kernel. Raises BtfError for a type, member or function that it lacks."""
    x86 = machine == "x86_64"
    found = btf.find_functions((FILTER, CAPABLE, PROGRAM_RIGHTS, FILE_CAPABILITIES, *SIMPLE_CAUSES, *MOUNT_FUNCTIONS))
    for name in (FILTER, CAPABLE):
        if name not in found:
            raise BtfError(f"has no function {name}")
    if all(name in found for name in MOUNT_FUNCTIONS):  # the first calls the second
        del found[MOUNT_FUNCTIONS[1]]
    return DenialOffsets(
        status=btf.find_offset("task_struct", "thread_info.status") if x86 else 0,
        credentials=btf.find_offset("task_struct", "cred"),
        number=btf.find_offset("pt_regs", "orig_ax" if x86 else "syscallno"),
        result=btf.find_offset("pt_regs", "ax" if x86 else "regs"),
        returned=btf.find_offset("pt_regs", "si") if x86 and find_functions(btf) else 8,  # the second one, of a function or tracepoint
        state=0 if x86 else btf.find_offset("pt_regs", "pstate"),
        effective=btf.find_offset("cred", "cap_effective"),
        bounding=btf.find_offset("cred", "cap_bset"),
        user=btf.find_offset("cred", "euid"),
        namespace=btf.find_offset("cred", "user_ns"),
        level=btf.find_offset("user_namespace", "level"),
        users=btf.find_offset("user_namespace", "uid_map.extent"),
        groups=btf.find_offset("user_namespace", "gid_map.extent"),
        group_id=btf.find_offset("cred", "egid"),
        permitted=btf.find_offset("cred", "cap_permitted"),
        inheritable=btf.find_offset("cred", "cap_inheritable"),
        flags=btf.find_offset("task_struct", "atomic_flags"),
        unsafe=btf.find_offset("linux_binprm", "unsafe"),
        inode=btf.find_offset("file", "f_inode"),
        mount=btf.find_offset("file", "f_path.mnt"),
        entry=btf.find_offset("file", "f_path.dentry"),
        mode=btf.find_offset("inode", "i_mode"),
        owner=btf.find_offset("inode", "i_uid"),
        owning_group=btf.find_offset("inode", "i_gid"),
        mount_flags=btf.find_offset("vfsmount", "mnt_flags"),
        id_map=_find_id_map(btf),
        file_permitted=btf.find_offset("cpu_vfs_cap_data", "permitted"),
        file_inheritable=btf.find_offset("cpu_vfs_cap_data", "inheritable"),
        superblock=btf.find_offset("vfsmount", "mnt_sb"),
        magic=btf.find_offset("super_block", "s_magic"),
        node=btf.find_offset("cgroup", "kn"),
        parent=btf.find_offset("cgroup", "self.parent"),
        group=btf.find_offset("cgroup_subsys_state", "cgroup"),
        identifier=btf.find_offset("kernfs_node", "id"),
        name=btf.find_offset("kernfs_node", "name"),
        tracepoints=tuple((name, btf.find_id(TYPEDEF, f"btf_trace_{name}")) for name in TRACEPOINTS),
        functions=tuple(sorted(found.items())),
    )


def _find_id_map(btf: Btf) -> tuple[int, ...]:
    """Return the way to the level of a mount's user namespace (before Linux 6.2 and 6.8) or to the number of ranges of its map. Raises BtfError."""
    level = btf.find_offset("user_namespace", "level")
    ways = (
        (("vfsmount", "mnt_idmap"), ("mnt_idmap", "uid_map.nr_extents")),
        (("vfsmount", "mnt_idmap"), ("mnt_idmap", "owner")),
        (("vfsmount", "mnt_userns"),),
    )
    for way in ways:
        with suppress(BtfError):
            found = tuple(btf.find_offset(structure, member) for structure, member in way)
            return found if way[-1][1] == "uid_map.nr_extents" else (*found, level)
    raise BtfError("has no known map of users in structure vfsmount")
